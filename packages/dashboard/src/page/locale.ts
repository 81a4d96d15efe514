/**
 * Imported before all else: some browsers name a language that `Intl` does not know (`en-US@posix`, where the system has no locale), and a
 * library that asks for its number format while it loads would take the page with it.
 */
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}

export {};
