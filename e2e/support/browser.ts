import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { brotliDecompressSync } from "node:zlib";
import chromium from "@sparticuz/chromium";
import { type Browser, type Page, chromium as playwright } from "playwright-core";

/** Flags of the browser. The flags of the package would switch off safeguards, but the tests must open pages as users do. */
const flags = [
  "--no-sandbox",
  "--disable-dev-shm-usage",
  "--disable-gpu",
  "--hide-scrollbars",
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--font-render-hinting=none",
  "--enable-precise-memory-info",
];

/**
 * A headless Chromium from a package. It needs neither a download nor root.
 *
 * @param names host names that the browser resolves to 127.0.0.1
 */
export async function openBrowser(names: readonly string[] = []): Promise<Browser> {
  const args = [...flags, `--host-resolver-rules=${names.map((name) => `MAP ${name} 127.0.0.1`).join(",")}`];
  const executablePath = await chromium.executablePath();
  try {
    return await playwright.launch({ executablePath, args, headless: true });
  } catch (error) {
    if (!/error while loading shared libraries/.test(String(error))) throw error;
    return playwright.launch({
      executablePath,
      args,
      headless: true,
      env: { ...definedEnvironment(), LD_LIBRARY_PATH: sharedLibraries() },
    });
  }
}

/** Unpacks the libraries of the package, for systems that lack them. */
function sharedLibraries(): string {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-browser-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const packed = join(dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")), "../../bin/al2023.tar.br");
  execFileSync("tar", ["-x", "-C", directory], { input: brotliDecompressSync(readFileSync(packed)) });
  return join(directory, "lib");
}

const definedEnvironment = (): Record<string, string> =>
  Object.fromEntries(Object.entries(process.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])));

/** A page that does not reach a state within this time hangs. The time is long, so that a busy machine does not fail a test. */
const hangLimit_ms = 120_000;

export interface Visit {
  readonly page: Page;
  /** Errors and warnings of the page. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export interface VisitOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  /** The part of the address from `#` on. */
  readonly at?: string;
}

/** Opens the page by the address with the token, as `lapidary up` prints it, once. */
export async function visit(browser: Browser, port: number, token: string, options: VisitOptions = {}): Promise<Visit> {
  const { width = 1440, height = 1000, dark = false, at = "#/" } = options;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light", locale: "en-GB" });
  context.setDefaultTimeout(hangLimit_ms);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(`${error.message}\n${error.stack ?? ""}`));
  page.on("console", (message) => {
    // The page itself must report that the coordinator is unreachable or refuses a request.
    if (message.type() === "error" && !/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/.test(message.text()))
      complaints.push(message.text());
  });
  await page.goto(`http://127.0.0.1:${port}/?token=${token}${at}`);
  return { page, complaints, close: () => context.close() };
}

/** Goes to another part of the page without loading it again. */
export async function goTo(page: Page, at: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(at)}`);
}

/** Waits until a JavaScript expression is true in the page. The limit only ends a test that hangs. */
export async function until(page: Page, expression: string, timeout = hangLimit_ms): Promise<void> {
  // Evaluated by the driver, because the content security policy of the page forbids eval.
  const deadline = performance.now() + timeout;
  while ((await page.evaluate(`(() => { try { return Boolean(${expression}); } catch { return false; } })()`)) !== true) {
    if (performance.now() > deadline) throw new Error(`the page did not come to this: ${expression}`);
    await delay(40);
  }
}

export const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).first().textContent())?.trim() ?? "";

/** Waits until all panels of a run's page have their data. */
export const panelsFilled = `(() => {
  const drawn = (selector) => [...document.querySelectorAll(selector)].every((canvas) => canvas.width > 10) && document.querySelector(selector) !== null;
  const rows = (panel) => document.querySelectorAll("#panel-" + panel + " tbody tr").length;
  return drawn("#panel-torus canvas") && drawn("#panel-curves canvas") && drawn("#panel-workers canvas") && drawn("#panel-timeline canvas") && drawn("#panel-memory canvas")
    && rows("memory") > 0 && rows("shards") > 0 && rows("collectives") > 0 && document.querySelectorAll("#panel-events li").length > 0
    && document.querySelectorAll("#panel-logs li").length > 0 && document.querySelectorAll("#panel-config li").length > 5
    && /\\d/.test(document.querySelector("[data-field=step]").textContent) && /\\d/.test(document.querySelector("[data-field=loss]").textContent);
})()`;

/**
 * Layout faults, one line each: elements that exceed their panel, elements that cut off their text without a scrollbar or an ellipsis, and text that overlaps
 * other text.
 */
export const layoutFaults = `(() => {
  const faults = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.className && e.className.baseVal === undefined ? "." + String(e.className).split(" ")[0] : "") + " " + JSON.stringify((e.textContent || "").trim().slice(0, 40));
  const shown = (e) => { const s = getComputedStyle(e); return s.display !== "none" && s.visibility !== "hidden" && e.getClientRects().length > 0 && !e.closest(".hidden, .skip, .uplot"); };
  const scrolls = (e) => { for (let p = e; p; p = p.parentElement) { const s = getComputedStyle(p); if (/auto|scroll/.test(s.overflowX + s.overflowY) && p !== document.documentElement && p !== document.body) return true; } return false; };
  if (document.documentElement.scrollWidth > innerWidth + 1) faults.push("the page is wider than the window: " + document.documentElement.scrollWidth);
  for (const section of document.querySelectorAll("section, aside, .side, .torus, form > div")) {
    if (!shown(section)) continue;
    const box = section.getBoundingClientRect();
    for (const e of section.querySelectorAll("*")) {
      if (!shown(e) || scrolls(e)) continue;
      const b = e.getBoundingClientRect();
      if (b.width === 0 || b.height === 0) continue;
      if (b.right > box.right + 1.5 || b.left < box.left - 1.5) faults.push(name(section) .split(" ")[0] + " is left by " + name(e));
    }
  }
  for (const e of document.querySelectorAll("main *")) {
    if (!shown(e) || e.children.length > 0 || !(e.textContent || "").trim() || scrolls(e)) continue;
    const s = getComputedStyle(e);
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && s.overflowX !== "visible" && s.textOverflow !== "ellipsis") faults.push("cut off: " + name(e));
  }
  const texts = [...document.querySelectorAll("main dt, main dd, main h1, main h2, main h3, main .legend > span, main .controls > *, main figcaption > span, main th")].filter((e) => shown(e) && !scrolls(e)).map((e) => ({ e, b: e.getBoundingClientRect() }));
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const [x, y] = [texts[i], texts[j]];
    if (x.e.contains(y.e) || y.e.contains(x.e)) continue;
    const [w, h] = [Math.min(x.b.right, y.b.right) - Math.max(x.b.left, y.b.left), Math.min(x.b.bottom, y.b.bottom) - Math.max(x.b.top, y.b.top)];
    if (w > 2 && h > 4) faults.push(name(x.e) + " overlaps " + name(y.e));
  }
  return faults.slice(0, 20);
})()`;

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Serious and critical violations of what axe checks, each with the elements. The driver runs axe, because the content security policy of the page would forbid it. */
export async function axeViolations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate(
    `axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.slice(0, 4).map(({ html, any }) => html.slice(0, 140) + " " + (any[0] ? any[0].message : "")) })))`,
  )) as {
    readonly id: string;
    readonly impact: string;
    readonly help: string;
    readonly nodes: readonly string[];
  }[];
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.join("\n  ")}`);
}
