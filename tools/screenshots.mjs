#!/usr/bin/env node
/**
 * `npm run screenshots`: pictures of the dashboard for docs/dashboard, a file a panel, of recorded runs: the quick-start job, two jobs on one pod, a job
 * over sixteen pods, and a pipeline of post-training. Programs are compiled, but the numbers of training are made up. Fails if an element is cut off or
 * overlaps another element.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordedComparison, recordedRl, RecordedRuns } from "@lapidary/coordinator/testing";
import { browserSupport } from "./browser-support.mjs";
import { projectRoot } from "./setup/session.mjs";

const { layoutFaults, openBrowser, panelsFilled, until, visit } = await browserSupport();
const token = "0123456789abcdef0123456789abcdef";
const out = join(projectRoot, "docs/dashboard");
const panels = ["torus", "header", "curves", "workers", "timeline", "memory", "shards", "collectives", "events", "logs", "config"];
const half = ["slice=8x16", "mesh.data=8", "mesh.model=16"];

const rlJob = `recipe: rl
init: /checkpoint
model: nano16
pod: v5e-256
mesh: { data: 16, model: 16 }
zero: 3
train: { steps: 150, batch: 256, seq: 32, optimizer: { name: adamw, lr: 1e-3 } }
data: { train: [{ path: /prompts.jsonl }] }
reward: [{ checker: sorted }]
rl: { algorithm: rloo, generations: 4, beta: 0.25, rollout: { max_new_tokens: 8 } }
`;

/** @type {readonly { name: string, record: (runs: RecordedRuns) => void, at: string, dark?: boolean, op?: string }[]} */
const scenes = [
  {
    name: "quickstart",
    record: (runs) => void runs.record({ id: "quickstart", path: "configs/jobs/quickstart.yaml", done: 220, step_ms: 380 }),
    at: "#/run/quickstart?colour=owner&tensor=params%2Fmodel.layers.0.mlp.up_proj.weight&chip=37&axis=model",
  },
  {
    name: "two-jobs",
    record: (runs) => {
      runs.record({ id: "left-half", path: "configs/jobs/quickstart.yaml", overrides: half, done: 140 });
      runs.record({
        id: "right-half",
        path: "configs/jobs/nano16.yaml",
        overrides: [...half, "train.steps=400", "train.batch=16"],
        done: 180,
        origin: [8, 0],
        straggler: { worker: 1, factor: 1.35 },
        step_ms: 90,
      });
      runs.record({ id: "waiting", path: "configs/jobs/nano16.yaml", done: 0, waits: true });
    },
    at: "#/run/right-half?colour=step+time&chip=70&axis=data",
    dark: true,
  },
  {
    name: "sixteen-pods",
    record: (runs) =>
      void runs.record({
        id: "gemma-7b-16-pods",
        path: "configs/jobs/gemma-7b.yaml",
        overrides: ["train.steps=20000"],
        done: 12_000,
        workers: 16,
        step_ms: 160,
      }),
    at: "#/run/gemma-7b-16-pods?colour=bytes+sent&chip=300&tensor=params%2Fmodel.layers.3.self_attn.q_proj.weight&axis=pod",
  },
];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const browser = await openBrowser();
/** @type {string[]} */
const faults = [];
for (const scene of scenes) {
  const home = mkdtempSync(join(tmpdir(), "lapidary-screenshots-"));
  const runs = await RecordedRuns.open(home, projectRoot);
  scene.record(runs);
  const server = await runs.serve(token);
  const { page, close } = await visit(browser, server.port, token, { at: scene.at, dark: scene.dark === true });
  await until(page, panelsFilled, 60_000);
  // An op with an interesting reason: the first reduction of a gradient.
  await page.locator("#panel-timeline canvas").focus();
  for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"]) await page.keyboard.press(key);
  await page.evaluate("document.activeElement.blur()");
  await settle(page);
  faults.push(.../** @type {string[]} */ (await page.evaluate(layoutFaults)).map((fault) => `${scene.name}: ${fault}`));
  await page.evaluate("scrollTo(0, 0)");
  // The rail marks the panel at the top.
  await settle(page);
  await page.screenshot({ path: join(out, `${scene.name}.png`) });
  for (const panel of panels) await page.locator(`#panel-${panel}`).screenshot({ path: join(out, `${scene.name}-${panel}.png`) });
  if (scene.name === "two-jobs") {
    await page.goto(`http://127.0.0.1:${server.port}/#/`);
    await page.getByRole("link", { name: "left-half" }).first().waitFor();
    await settle(page);
    await page.screenshot({ path: join(out, "runs.png"), clip: { x: 0, y: 0, width: 1440, height: 640 } });
    await page.goto(`http://127.0.0.1:${server.port}/#/compare?a=left-half&b=right-half`);
    await page.getByText("Different shardings").waitFor();
    await settle(page);
    await page.screenshot({ path: join(out, "compare.png") });
    await page.goto(`http://127.0.0.1:${server.port}/#/launch?file=nano16`);
    await until(page, `document.querySelector("textarea").value.includes("steps:")`);
    await page.locator("textarea").fill((await page.locator("textarea").inputValue()).replace("steps:", "stepps:"));
    await page.locator("#validation .error").waitFor();
    await settle(page);
    await page.screenshot({ path: join(out, "launch.png"), clip: { x: 0, y: 0, width: 1440, height: 640 } });
  }
  await close();
  if (scene.name === "quickstart") {
    const phone = await visit(browser, server.port, token, { at: "#/run/quickstart", width: 390, height: 844 });
    await until(phone.page, `document.querySelector("#panel-curves canvas") !== null`);
    await settle(phone.page);
    await phone.page.screenshot({ path: join(out, "phone.png") });
    await phone.close();
  }
  await server.close();
  runs.runs.close();
  rmSync(home, { recursive: true, force: true });
}
await postTraining();
await browser.close();
for (const fault of faults) process.stderr.write(`✘ ${fault}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;

/** A pipeline of post-training: its graph, the charts and samples of a run of rl, and a comparison. */
async function postTraining() {
  const home = mkdtempSync(join(tmpdir(), "lapidary-screenshots-"));
  const runs = await RecordedRuns.open(home, projectRoot);
  const job = { yaml: rlJob, pipeline: "sort5-1", step_ms: 390 };
  runs.record({ ...job, id: "sort5-1-sft", done: 150, end: "done", age_ms: 900_000 });
  runs.record({ ...job, id: "sort5-1-reward", needs: ["sort5-1-sft"], done: 150, end: "done", age_ms: 600_000 });
  const recipe = recordedRl(["Sort the digits 3 1 5 2 4.", "Sort the digits 9 0 7 1 2."]);
  runs.record({ ...job, id: "sort5-1-rl", needs: ["sort5-1-sft", "sort5-1-reward"], done: 120, recipe });
  runs.record({ ...job, id: "sort5-1-dpo", needs: ["sort5-1-sft"], done: 0, waits: true });
  runs.record({ ...job, id: "sort5-1-compare", needs: ["sort5-1-sft", "sort5-1-rl", "sort5-1-dpo"], done: 0, waits: true });
  runs.record({ id: "compared", path: "configs/jobs/nano16.yaml", done: 20, end: "done", report: recordedComparison });
  const server = await runs.serve(token);
  const { page, close } = await visit(browser, server.port, token, { at: "#/run/sort5-1-rl" });
  /** @param {string} at @param {string} ready @param {string} target @param {string} file */
  const shot = async (at, ready, target, file) => {
    await page.evaluate(`location.hash = ${JSON.stringify(at)}`);
    await until(page, ready, 60_000);
    await settle(page);
    faults.push(.../** @type {string[]} */ (await page.evaluate(layoutFaults)).map((fault) => `${file}: ${fault}`));
    await page.locator(target).screenshot({ path: join(out, `${file}.png`) });
  };
  const charts = 'document.querySelectorAll("[data-metrics] canvas").length > 15';
  await shot("#/run/sort5-1-rl", charts, "#panel-curves", "rl-curves");
  await shot("#/run/sort5-1-rl", charts, "#panel-samples", "rl-samples");
  await shot("#/run/compared", 'document.querySelectorAll("[data-subset]").length > 3', "#panel-comparison", "comparison");
  await page.setViewportSize({ width: 1440, height: 560 });
  await shot("#/pipeline/sort5-1", 'document.querySelectorAll("[data-job]").length === 5', "body", "pipeline");
  await close();
  await server.close();
  runs.runs.close();
  rmSync(home, { recursive: true, force: true });
}

/** Waits until fonts are loaded and the page is drawn. @param {import("playwright-core").Page} page */
async function settle(page) {
  await page.evaluate(
    "document.fonts.ready.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60)))))",
  );
}
