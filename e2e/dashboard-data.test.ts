import { execFileSync } from "node:child_process";
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DatasetCard, DatasetList } from "@lapidary/api/data-view";
import type { Page } from "playwright-core";
import { axeViolations, layoutFaults, textOf, until } from "./support/browser.js";
import { commandScript } from "./support/cli.js";
import { RecordedDashboard } from "./support/recorded-dashboard.js";

const words = "a model reads the texts that people wrote and counts what it finds in each of them".split(" ");
const textOfLength = (length: number, seed: number): string =>
  Array.from({ length }, (_, w) => words[(w * 7 + seed) % words.length]).join(" ");
const hostile = '<script>globalThis.hacked=1</script><img src=x onerror="globalThis.hacked=1"> \u202eturned';

/** A pipeline of two sources that drops short texts, and one of another language; its rules also have a condition with a number inside. */
function writePipeline(directory: string): string {
  mkdirSync(join(directory, "in"), { recursive: true });
  const rows = (count: number, shift: number): string =>
    Array.from({ length: count }, (_, i) => `${JSON.stringify({ id: `d${i}`, text: textOfLength(4 + i + shift, i) })}\n`).join("");
  writeFileSync(join(directory, "in/web.jsonl"), `${rows(40, 0)}${JSON.stringify({ id: "x", text: hostile })}\nnot JSON\n`);
  writeFileSync(join(directory, "in/code.jsonl"), rows(30, 10));
  const file = join(directory, "pipeline.yaml");
  writeFileSync(
    file,
    `sources:
  web: { read: ./in/web.jsonl, licence: CC0-1.0, damaged: accept }
  code: { read: ./in/code.jsonl, licence: MIT }
stages:
  - measure: [gopher]
  - rules: { short: gopher.words < 20, long: 'gopher.words > 36 unless source == "code"' }
  - tokenize: { train: { size: 400, from: 1MB } }
out: ./mixed
`,
  );
  return file;
}

/** One dataset, which a real pipeline made, in a real browser. */
describe("the page of a dataset", function () {
  this.timeout(120_000);
  let home = "";
  const lapidary = (...args: readonly string[]): string =>
    execFileSync(process.execPath, [commandScript, ...args], {
      env: { ...process.env, LAPIDARY_HOME: home },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  const dashboard = new RecordedDashboard((recorded) => {
    home = dirname(recorded.runs.directory);
    lapidary("data", "run", writePipeline(home), "--workers", "1");
  });
  const { show, api } = dashboard;
  const limits = `document.querySelectorAll("[data-limit]").length === 2`;
  const effect = `[data-limit="gopher.words_min"] [data-field=effect]`;

  async function moveLimit(page: Page, value: string): Promise<void> {
    await page.getByLabel("Value of gopher.words_min").fill(value);
    await page.getByLabel("Value of gopher.words_min").press("Enter");
  }

  it("the list names the dataset, and its page has the numbers of the card", async () => {
    const { datasets } = await api<DatasetList>("/api/data");
    deepStrictEqual(
      datasets.map(({ id, isPublished, isRunning }) => [id, isPublished, isRunning]),
      [["mixed", true, false]],
    );
    const card = JSON.parse(lapidary("data", "card", "--json")) as DatasetCard;
    const page = await show("#/data");
    await page.getByRole("link", { name: "mixed" }).click();
    await until(page, limits);
    const [read, , rules] = card.stages;
    deepStrictEqual([read?.in, read?.dropped, rules?.in], [72, { "bad JSON": 1 }, 71]);
    strictEqual(await textOf(page, effect), `${rules?.out} of 71 documents stay now.`);
    const drawn = (await page.locator("svg[data-flow] text").allTextContents()).join(" ");
    for (const [reason, count] of Object.entries({ ...read?.dropped, ...rules?.dropped })) match(drawn, new RegExp(`${count} ${reason}`));
    match(await page.locator("table").nth(1).innerText(), /rules\s+2\/2\s+71/);
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  it("a moved limit says who would stay as `whatif` does, at once and exactly", async () => {
    const page = await show("#/data/mixed");
    await until(page, limits);
    await moveLimit(page, "30");
    const { kept } = JSON.parse(lapidary("data", "whatif", "gopher.words_min = 30", "--json")) as {
      kept: { before: number; after: number };
    };
    ok(kept.after < kept.before);
    const [least = Number.NaN, most = least] = ((await textOf(page, effect)).match(/\d+(?= and| stay)/g) ?? []).map(Number);
    ok(least <= kept.after && kept.after <= most, `${least} ≤ ${kept.after} ≤ ${most}`);
    await page.locator(`[data-limit="gopher.words_min"]`).getByRole("button", { name: "Count exactly" }).click();
    await until(page, `/exact/.test(document.querySelector('${effect}').textContent)`);
    strictEqual(await textOf(page, effect), `${kept.after} stay, ${kept.before - kept.after} fewer (exact).`);
    await moveLimit(page, "18");
    match(await textOf(page, effect), /more|Between/);
  });

  it("the text of a dropped document is shown as text", async () => {
    const page = await show("#/data/mixed");
    await until(page, limits);
    await page.getByRole("combobox", { name: "Reason" }).selectOption("2 short");
    await page.getByText("<script>globalThis.hacked=1</script>").waitFor();
    strictEqual(await page.evaluate("globalThis.hacked"), undefined);
  });

  it("the card works as one file without a server, and loads nothing", async () => {
    lapidary("data", "card");
    const page = await dashboard.showOffline();
    for (const file of [`file://${join(home, "mixed/card.html")}`, await dashboard.saveFile("saved.html", "/api/data/mixed/card.html")]) {
      await page.goto(file);
      await until(page, limits);
      await moveLimit(page, "25");
      match(await textOf(page, effect), /stay/);
      strictEqual(await page.getByRole("button", { name: "Count exactly" }).count(), 0);
    }
    deepStrictEqual(dashboard.open?.complaints, []);
    ok(readFileSync(join(home, "mixed/card.md"), "utf8").includes("bad JSON"));
  });

  it("an unknown dataset and an impossible change are errors with a remedy", async () => {
    const page = await show("#/data/mixd");
    await page.getByText('did you mean "mixed"?').waitFor();
    const failed = await api<{ error: { code: string } }>("/api/data/..%2f..");
    match(failed.error.code, /LAP_DATA_NO_RESULT|LAP_HTTP_ROUTE/);
  });

  for (const [width, dark] of [
    [390, false],
    [1440, true],
  ] as const)
    it(`the page cuts off nothing at ${width} pixels in ${dark ? "dark" : "light"} colours, and has no serious accessibility violation`, async () => {
      const page = await show("#/data/mixed", { width, dark });
      await until(page, limits);
      for (const table of await page.locator("details > summary").all()) await table.click();
      deepStrictEqual([...((await page.evaluate(layoutFaults)) as string[]), ...(await axeViolations(page))], []);
    });
});
