import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { JobDetail } from "@lapidary/api";
import { endless, Harness, trains } from "@lapidary/coordinator/testing/harness";
import type { Browser, Page } from "playwright-core";
import { openBrowser, panelsFilled, until, visit, type Visit } from "./support/browser.js";

interface Shown {
  readonly step: number;
  readonly loss: string;
  readonly steps: number;
  readonly last: number;
}

/** The state of the run that the page shows at one moment. */
const shown = async (page: Page): Promise<Shown> =>
  (await page.evaluate(`(() => ({
    step: Number(document.querySelector("[data-field=step]").textContent),
    loss: document.querySelector("[data-field=loss]").textContent,
    steps: Number(document.querySelector("[data-steps]").dataset.steps),
    last: Number(document.querySelector("[data-steps]").dataset.last),
  }))()`)) as Shown;

/** A real coordinator with workers and a job, observed in a browser. */
describe("the dashboard of a run that trains", function () {
  this.timeout(180_000);
  const harness = new Harness();
  let browser: Browser;
  let open: Visit;

  before(async () => {
    browser = await openBrowser();
    const client = await harness.start();
    await client.submit({ yaml: harness.job({ steps: endless }), name: "live" });
    await trains(client, "live");
    const { port, token } = connectionOf(client.pageUrl);
    open = await visit(browser, port, token, { at: "#/run/live?colour=step+time" });
  });
  after(async () => {
    await open?.close();
    await browser?.close();
    await harness.remove();
  });

  it("the panels are filled and follow the steps of the API", async () => {
    const { page } = open;
    await until(page, panelsFilled);
    const { step } = await shown(page);
    await until(page, `Number(document.querySelector("[data-field=step]").textContent) > ${step + 2}`);
    const now = await shown(page);
    const { metrics } = await harness.client.metrics("live", { limit: 10_000 });
    const row = metrics.find((each) => each.kind === "train" && each.step === now.step);
    strictEqual(now.loss, row?.kind === "train" ? row.loss.toFixed(3) : "not found");
    strictEqual(now.steps, now.last);
    deepStrictEqual(open.complaints, []);
  });

  it("a recorded step is drawn call by call, and the keyboard selects calls", async () => {
    const { page } = open;
    await until(page, `Number(document.querySelector("[data-calls]")?.dataset.calls) > 50`);
    const calls = page.locator("canvas[aria-label^='Calls of the workers']");
    await calls.focus();
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
    await until(page, `/^worker [01]: .+ \\(.+\\): /.test(document.querySelector(".call").textContent.trim())`);
    deepStrictEqual(open.complaints, []);
  });

  it("after a reload, the page has every step once", async () => {
    const { page } = open;
    await page.reload();
    await until(page, panelsFilled);
    const { steps, last } = await shown(page);
    ok(steps > 3);
    strictEqual(steps, last);
  });

  it("the page reports a stopped coordinator, and has neither a gap nor a duplicate after its restart", async () => {
    const { page } = open;
    await harness.stop();
    await page.getByText("coordinator unreachable; reconnecting").waitFor();
    const client = await harness.start();
    await until(page, `!document.body.textContent.toLowerCase().includes("coordinator unreachable")`, 60_000);
    const job: JobDetail = await client.get("live");
    await until(page, `Number(document.querySelector("[data-field=step]").textContent) >= ${job.step}`, 60_000);
    const { steps, last } = await shown(page);
    strictEqual(steps, last);
  });
});

function connectionOf(url: string): { readonly port: number; readonly token: string } {
  const { port, searchParams } = new URL(url);
  return { port: Number(port), token: searchParams.get("token") ?? "" };
}
