import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { PipelineDetail } from "@lapidary/api";
import { recordedComparison, recordedRl, type RecordedRunWriter } from "@lapidary/coordinator/testing";
import { axeViolations, goTo, layoutFaults, panelsFilled, textOf, until } from "./support/browser.js";
import { RecordedDashboard } from "./support/recorded-dashboard.js";

const hostile = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>';
const rlJob = `recipe: rl
init: /checkpoint
model: { vocab_size: 300, model_dim: 32, layers: 1, heads: 4, kv_heads: 4, head_dim: 8, mlp_dim: 64, context_length: 64 }
pod: { torus: 2x2, chip: v5e, host: 2x2 }
mesh: { data: 2, model: 2 }
train: { steps: 60, batch: 16, seq: 24, optimizer: { name: adamw, lr: 1e-3 } }
data: { train: [{ path: /prompts.jsonl }] }
reward: [{ checker: sorted }]
rl: { algorithm: rloo, generations: 4, beta: 0.25, rollout: { max_new_tokens: 8 } }
`;

/** Recorded runs of recipes, shown by the coordinator's real HTTP server in a real browser. */
describe("the dashboard of post-training", function () {
  this.timeout(120_000);
  let rl: RecordedRunWriter;
  const dashboard = new RecordedDashboard((recorded) => {
    const pipeline = { yaml: rlJob, pipeline: "sort" };
    recorded.record({ id: "sort-sft", ...pipeline, done: 60, end: "done", age_ms: 60_000 });
    const recipe = recordedRl(["31524", `${hostile}\n${"many lines\n".repeat(60)}`]);
    const metrics: typeof recipe.metrics = (...step) => ({ ...recipe.metrics(...step), share_of_jokes: 0.125 });
    rl = recorded.record({ id: "sort-rl", ...pipeline, needs: ["sort-sft"], done: 40, recipe: { ...recipe, metrics } });
    recorded.record({ id: "sort-compare", ...pipeline, needs: ["sort-sft", "sort-rl"], done: 0, waits: true });
    recorded.record({ id: "compared", yaml: rlJob, done: 5, end: "done", report: recordedComparison });
  });
  const { show, api } = dashboard;
  const pipeline = (id: string): Promise<PipelineDetail> => api(`/api/pipelines/${id}`);
  const filled = `document.querySelectorAll("[data-metrics] canvas").length > 15 && document.querySelector("[data-split] rect") !== null`;

  it("every metric of a recipe has a chart in the group of its kind, an unknown metric too, and the charts follow the run", async () => {
    const page = await show("#/run/sort-rl");
    await until(page, `${panelsFilled} && ${filled}`);
    const groups = await page.locator("[data-metrics]").evaluateAll((found) => found.map((each) => each.getAttribute("data-metrics")));
    deepStrictEqual(groups, ["reward", "kl", "completions", "ratio", "time", "other"]);
    match(await textOf(page, '[data-metrics=kl] figure[aria-label="KL to the reference over steps"]'), /nats.*over the whole vocabulary/);
    match(await textOf(page, "[data-metrics=other] figure"), /Share of jokes 0\.125/);
    const split = page.locator("[data-split]");
    strictEqual(await split.getAttribute("data-split"), "40");
    match((await split.locator("svg").getAttribute("aria-label")) ?? "", /prefill .*decode .*score .*reference .*update /);
    const row = rl.next();
    await until(page, `document.querySelector("[data-split]").dataset.split === "41"`);
    strictEqual(await textOf(page, "[data-metric=reward]"), String(Number(row.metrics?.["reward"]?.toPrecision(3))));
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  it("completions of one prompt at several steps are side by side, with scores and reasons, and the URL keeps the choice", async () => {
    const page = await show("#/run/sort-rl?panel=samples");
    const columns = page.locator("#panel-samples [data-step]");
    await columns.nth(1).waitFor();
    deepStrictEqual(await columns.evaluateAll((all) => all.map((each) => each.getAttribute("data-step"))), ["10", "40"]);
    match(await textOf(page, "#panel-samples .completion"), /^[01] +ended with a stop token/);
    await page.getByRole("group", { name: "Steps to compare" }).getByRole("button", { name: "20" }).click();
    await page.locator("#panel-samples select").selectOption({ index: 1 });
    await page.getByRole("group", { name: "Steps to compare" }).getByRole("button", { name: "30" }).click();
    const address = page.url();
    match(address, /prompt=\w+&sampled=10\.30\.40/);
    await page.goto("about:blank");
    await page.goto(address);
    await columns.nth(2).waitFor();
    ok((await textOf(page, "#panel-samples .prompt")).startsWith(hostile));
    ok(await page.locator("#panel-samples .prompt").evaluate((each) => each.scrollHeight > each.clientHeight && each.clientHeight < 200));
    strictEqual(await page.evaluate("globalThis.hacked"), undefined);
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  it("a comparison shows the win rate and its interval for all prompts and for each subset", async () => {
    const page = await show("#/run/compared?panel=comparison");
    await page.locator("#panel-comparison tbody tr").first().waitFor();
    const subsets = await page.locator("[data-subset]").evaluateAll((rows) => rows.map((row) => row.getAttribute("data-subset")));
    deepStrictEqual(subsets, ["all", "creativity", "factuality", "instruction following", "refusal", "safety"]);
    const plot = page.locator("[data-subset=factuality] svg");
    strictEqual(await plot.getAttribute("aria-label"), "factuality: win rate 76 %, 95 % interval 68 % to 82 %");
    const [low, high, dot] = await Promise.all([
      plot.locator("line").nth(2).getAttribute("x1"),
      plot.locator("line").nth(2).getAttribute("x2"),
      plot.locator("circle").getAttribute("cx"),
    ]);
    const result = recordedComparison.sets[0]?.result_by_subset["factuality"];
    deepStrictEqual(
      [low, high, dot].map((x) => Number(x) / 240),
      [result?.wilson95[0], result?.wilson95[1], result?.rate],
    );
    match(await textOf(page, "[data-subset=factuality]"), /better.*15 \(11 %\).*54 %.*61 %.*182, 140/s);
    strictEqual(await page.locator("#panel-samples").count(), 0);
    await page.keyboard.press("c");
    await until(page, `document.activeElement.id === "title-comparison"`);
  });

  it("a waiting job names the runs that it waits for, and its pipeline is a graph with states", async () => {
    const page = await show("#/");
    await page.getByText("waits for sort-sft, sort-rl").first().waitFor();
    await page.getByRole("link", { name: "sort-compare" }).first().click();
    match(await textOf(page, "#panel-header .pipeline"), /^Job of pipeline sort; waits for sort-sft, sort-rl\.$/);
    match(await textOf(page, "#panel-events"), /Waits for sort-sft, sort-rl\./);
    await page.getByRole("link", { name: "sort", exact: true }).click();
    await page.locator("[data-job]").nth(2).waitFor();
    deepStrictEqual(
      (await page.locator("[data-job]").allTextContents()).map((text) => text.replaceAll(/\s+/g, " ").trim()),
      ["sft done, step 60 of 60", `rl running, step ${rl.step} of 60 needs sft`, "compare queued, waits for sft, rl needs sft, rl"],
    );
    strictEqual(await page.locator("path.edge").count(), 3);
    rl.next();
    await page.getByText(`running, step ${rl.step} of 60`).waitFor();
    await page.getByRole("button", { name: "Cancel waiting jobs" }).click();
    await page.locator("[data-job=compare]").getByText("cancelled").waitFor();
    strictEqual((await pipeline("sort")).state, "running");
    deepStrictEqual(dashboard.open?.complaints, []);
  });

  it("the launch page checks a pipeline, draws its jobs, and launches it", async () => {
    const page = await show("#/launch?file=pipelines%2Ftwo-stage");
    await page.getByText("Valid: 2 jobs").waitFor();
    strictEqual(await page.locator("path.edge").count(), 1);
    const editor = page.locator("textarea");
    const good = await editor.inputValue();
    const line = good.split("\n").findIndex((text) => text.includes("needs: [base]")) + 1;
    await editor.fill(good.replace("needs: [base]", "needs: [bass]"));
    await page.getByRole("button", { name: `line ${line}` }).waitFor();
    await editor.fill(good);
    await page.getByLabel("Overrides").fill("tuned.train.steps=7");
    await page.getByText("Valid: 2 jobs").waitFor();
    await page.getByLabel("Name").fill("from-the-page");
    await page.locator("button:not([disabled])", { hasText: "Launch" }).click();
    await page.getByRole("heading", { name: "from-the-page", exact: true }).waitFor();
    const { jobs } = await pipeline("from-the-page");
    deepStrictEqual(
      jobs.map(({ run, needs, summary }) => [run, needs, summary?.steps]),
      [
        ["from-the-page-base", [], 20],
        ["from-the-page-tuned", ["base"], 7],
      ],
    );
  });

  it("a saved page has the metrics, samples and comparison of its run", async () => {
    const page = await dashboard.showOffline();
    for (const [id, ready] of [
      ["sort-rl", `${filled} && document.querySelectorAll("#panel-samples [data-step]").length === 2`],
      ["compared", `document.querySelectorAll("[data-subset]").length === 6`],
    ] as const) {
      await page.goto(await dashboard.savePage(id));
      await until(page, ready);
    }
  });

  for (const [width, dark] of [
    [390, false],
    [1280, true],
  ] as const)
    it(`the panels cut off nothing at ${width} pixels${dark ? " in dark colours, without a serious accessibility violation" : ""}`, async () => {
      const page = await show("#/", { width, dark });
      const faults: string[] = [];
      for (const [at, ready] of [
        ["#/run/sort-rl", filled],
        ["#/run/compared", `document.querySelectorAll("[data-subset]").length === 6`],
        ["#/pipeline/sort", `document.querySelectorAll("[data-job]").length === 3`],
        ["#/launch?file=pipelines%2Fassistant", `document.querySelectorAll("[data-job]").length === 2`],
      ] as const) {
        await goTo(page, at);
        await until(page, ready);
        // The rules of axe do not depend on the width, and take seconds.
        const found = [...((await page.evaluate(layoutFaults)) as string[]), ...(dark ? await axeViolations(page) : [])];
        faults.push(...found.map((fault) => `${at}: ${fault}`));
      }
      deepStrictEqual([faults, dashboard.open?.complaints], [[], []]);
    });
});
