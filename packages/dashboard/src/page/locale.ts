/**
 * Must be the first import. If the system has no locale, some browsers report a language that `Intl` rejects (`en-US@posix`). A library that
 * creates a number format while it loads would then break the page.
 */
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}

export {};
