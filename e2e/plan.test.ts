import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runInDirectory } from "@lapidary/cli/testing";
import { buildPrograms, programRequest } from "@lapidary/trainer";
import { WorkerStepLog } from "@lapidary/api/worker-steps";
import { type PlanReport, traceSchema } from "@lapidary/simulator";
import { type Clock, systemClock } from "@lapidary/std";
import { expectText } from "@lapidary/std/testing";
import { loadJob, printJob, type ResolvedJob } from "@lapidary/training";
import { type Ended, root } from "./support/cli.js";
import { openBrowser } from "./support/browser.js";
import { publishedError } from "./support/published-cells.js";

/** Counts the processor time of this process. On a busy machine, a search would otherwise stop before it has tried its plans. */
const processorClock: Clock = { ...systemClock, monotonic: () => process.cpuUsage().user / 1000 };

/** Runs the command in the project's root, without a coordinator. */
async function lapidary(args: readonly string[], home: string): Promise<Ended> {
  const { exit, stdout, stderr } = await runInDirectory(root, args, { ...process.env, LAPIDARY_HOME: home }, processorClock);
  return { code: exit, stdout, stderr };
}

function makeDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}

const configsDir = join(root, "configs");
const jobAt = (path: string, ...overrides: string[]): ResolvedJob =>
  loadJob(join(configsDir, "jobs", path), overrides, { configsDir, base: root });
const reportOf = (ended: Ended): PlanReport & { program_hash: string; advice?: { overrides: string[]; fits: boolean }[] } =>
  JSON.parse(ended.stdout) as never;

describe("lapidary plan", function () {
  this.timeout(600_000);
  let directory = "";
  const plans = new Map<string, Promise<Ended>>();
  /** The result of a command of only existing files. Tests that repeat a command share its result. */
  const plan = (...args: string[]): Promise<Ended> => {
    const line = args.join(" ");
    const ended = plans.get(line) ?? lapidary(["plan", ...args], directory);
    plans.set(line, ended);
    return ended;
  };
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-plan-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("plan times the program that the workers run: their hashes are equal", async () => {
    const ended = await plan("configs/jobs/nano16.yaml", "--json");
    strictEqual(ended.code, 0, ended.stderr);
    strictEqual(reportOf(ended).program_hash, buildPrograms(programRequest(jobAt("nano16.yaml"))).programs["train_step"]?.hash);
  });

  for (const [name, chips, mesh, parameters] of [
    ["gemma-2b", 512, "pod=2,data=256", 2_506_434_560],
    ["gemma-7b", 4096, "pod=16,data=16,model=16", 8_538_074_112],
  ] as const)
    it(`plan finds that ${name} fits on ${chips} chips, and splits states as ZeRO-3 defines`, async () => {
      const ended = await plan(`configs/jobs/${name}.yaml`, "--json");
      strictEqual(ended.code, 0, ended.stderr);
      const report = reportOf(ended);
      deepStrictEqual(
        [report.chips, report.mesh, report.parameters, report.fits, report.hbm_limit],
        [chips, mesh, parameters, true, 15.75 * 2 ** 30],
      );
      // Norms do not divide by 256: a little more than a 256th.
      ok(Math.abs(report.hbm_bytes.params / ((4 * parameters) / 256) - 1) < 1e-3);
      ok(Math.abs(report.hbm_bytes.optimizer / ((8 * parameters) / 256) - 1) < 1e-3);
      ok(report.mfu > 0.2 && report.mfu < 0.8 && report.mfu_causal < report.mfu);
      strictEqual(report.tokens_per_s, report.tokens_per_step / report.step_time_s);
      const parts = report.compute_s + Object.values(report.exposed_s).reduce((a, b) => a + b, 0) + report.host_s + report.pod_wait_s;
      ok(Math.abs(parts / report.step_time_s - 1) < 1e-6);
      for (const { op, axis, count, bytes_per_chip, time_s, exposed_s, why } of report.collectives)
        ok(op !== "" && axis !== "" && count > 0 && bytes_per_chip > 0 && time_s > 0 && exposed_s >= 0 && why !== "");
    });

  for (const [page, names] of [
    ["docs/simulator.md", ["gemma-2b", "gemma-7b"]],
    ["docs/post-training.md", ["gemma-7b-rl"]],
  ] as const)
    it(`${page} shows the plans of ${names.join(" and ")} as the command prints them`, async () => {
      const docs = join(root, page);
      let text = readFileSync(docs, "utf8");
      for (const name of names) {
        const { code, stdout } = await plan(`configs/jobs/${name}.yaml`);
        strictEqual(code, 0);
        const [shown = ""] = stdout.trimEnd().split("\n\nShards\n");
        const block = new RegExp(`(<!-- plan: ${name} -->\\n\`\`\`\\n)[^]*?(\\n?\`\`\`\\n)`);
        match(text, block);
        text = text.replace(block, (_, start: string) => `${start}${shown}\n\`\`\`\n`);
      }
      expectText(text, docs);
    });

  it("plan exits with 4 for a job that does not fit, prints the plan, the missing bytes and what would make it fit", async () => {
    const ended = await plan("configs/jobs/gemma-2b.yaml", "remat=none", "--json");
    strictEqual(ended.code, 4);
    const report = reportOf(ended);
    strictEqual(report.fits, false);
    deepStrictEqual(report.advice?.at(-1)?.overrides, ["remat=full"]);
    strictEqual(report.advice.at(-1)?.fits, true);
    match(ended.stderr, /does not fit: \d+\.\d\d GB too much\. remat=full makes it fit/);
  });

  it("plan rejects an unknown chip, and suggests a similar one", async () => {
    const ended = await plan("configs/jobs/nano16.yaml", "--chip", "v5ee");
    strictEqual(ended.code, 2);
    match(ended.stderr, /there is no chip "v5ee"[\s\S]*did you mean "v5e"/);
  });

  it("plan for v6e: the same step takes less time", async () => {
    const [v5e, v6e] = [
      await plan("configs/jobs/gemma-2b.yaml", "--json"),
      await plan("configs/jobs/gemma-2b.yaml", "--json", "--chip", "v6e"),
    ];
    ok(reportOf(v6e).step_time_s < 0.5 * reportOf(v5e).step_time_s);
  });

  it("plan differs from the published cells of the smallest model on one pod and of the largest on four by at most 6 %", () => {
    const ends = [publishedError("maxtext-16b", 1), publishedError("maxtext-128b", 4)];
    ok(Math.max(...ends) < 0.06, ends.join(" "));
  });

  it("plan computes published runs for any number of pods, each slightly slower than with fewer", async () => {
    const mfu = (
      await Promise.all([1, 3, 32].map((pods) => plan("configs/jobs/published/maxtext-16b.yaml", `pods=${pods}`, "--json")))
    ).map((ended) => reportOf(ended).mfu);
    ok((mfu[0] ?? 0) > (mfu[1] ?? 1) && (mfu[1] ?? 0) > (mfu[2] ?? 1), mfu.join(" "));
  });

  it("plan writes a page that a browser without network shows completely", async () => {
    const ended = await plan("configs/jobs/nano16.yaml", "-o", "html", "-q");
    const file = join(directory, "plan.html");
    writeFileSync(file, ended.stdout);
    const browser = await openBrowser();
    try {
      const context = await browser.newContext({ offline: true, viewport: { width: 1200, height: 900 } });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("console", (message) => complaints.push(message.text()));
      page.on("request", (request) => {
        if (request.url() !== pathToFileURL(file).href) complaints.push(request.url());
      });
      await page.goto(pathToFileURL(file).href);
      strictEqual(await page.locator("rect.chip").count(), 256);
      strictEqual(await page.locator("h1").textContent(), "nano16");
      for (const box of await page.locator("svg").all()) ok(((await box.boundingBox())?.width ?? 0) > 200);
      strictEqual(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), true);
      deepStrictEqual(complaints, []);
    } finally {
      await browser.close();
    }
  });

  it("plan writes a trace of the trace-event format", async () => {
    const file = join(directory, "trace.json");
    const ended = await lapidary(["trace", "configs/jobs/nano16.yaml", "-o", file, "--json"], directory);
    strictEqual(ended.code, 0, ended.stderr);
    ok(traceSchema.parse(JSON.parse(readFileSync(file, "utf8"))).traceEvents.length > 500);
  });

  it("trace writes the calls of the workers of a run next to the predicted ones", async () => {
    const log = new WorkerStepLog(makeDirectory(join(directory, "runs/mine")));
    const rows = [1, 2, 3].map((step) => ({
      id: step,
      kind: "train",
      time: 1000 * step,
      step,
      loss: 1,
      grad_norm: 1,
      learning_rate: 1,
      tokens_per_s: 1,
      step_ms: 900,
      eta_s: 1,
    }));
    for (const { step } of rows)
      log.append({ step, times: [0, 1].map((worker) => ({ total_ms: 800 + worker, gemm_ms: 500, other_ms: 200, wait_ms: 50 })) });
    writeFileSync(join(directory, "runs/mine/metrics.jsonl"), `${rows.map((row) => JSON.stringify(row)).join("\n")}\n{"torn`);
    writeFileSync(join(directory, "runs/mine/job.yaml"), printJob(jobAt("nano16.yaml")));
    const traced = async (...args: string[]): Promise<ReturnType<typeof traceSchema.parse>> => {
      const file = join(directory, "run.json");
      const ended = await lapidary(["trace", "mine", "-o", file, ...args], directory);
      strictEqual(ended.code, 0, ended.stderr);
      return traceSchema.parse(JSON.parse(readFileSync(file, "utf8")));
    };
    const slices = (await traced()).traceEvents.filter((event) => event.ph === "X" && event.cat === "step");
    deepStrictEqual(
      slices.map((event) => ("ts" in event ? [event.pid, event.ts] : [])),
      [
        [0, 1000],
        [0, 1_001_000],
        [0, 2_001_000],
        [1, 0],
        [1, 1_000_000],
        [1, 2_000_000],
      ],
    ); // prettier-ignore
    strictEqual(new Set((await traced("--diff")).traceEvents.map(({ pid }) => pid)).size, 3);
    // A step with every call recorded: worker 1 began 3 ms later, and its gather waited.
    const call = (kind: string, op: string, name: string): object => ({ kind, op, name, phase: "forward" });
    const lines = [
      {
        kind: "program",
        calls: [
          call("start", "all_gather", "w"),
          call("product", "dot_general", "y"),
          call("finish", "all_gather", "w"),
          call("fused", "multiply", "z"),
        ],
      },
      {
        kind: "step",
        step: 2,
        workers: [
          { began_ms: 70_000, calls_us: [0, 100, 0, 100, 5000, 0, 5100, 900, 800, 6000, 50, 0] },
          { began_ms: 70_003, calls_us: [0, 90, 0, 90, 4000, 0, 4090, 10, 0, 4100, 40, 0] },
        ],
      },
    ];
    writeFileSync(join(directory, "runs/mine/step-traces.jsonl"), `${lines.map((line) => JSON.stringify(line)).join("\n")}\n{"torn`);
    const events = (await traced()).traceEvents;
    const ofCalls = events.flatMap((event) =>
      event.ph === "X" && event.tid > 0 ? [[event.pid, event.name, event.ts - 1_000_000, event.dur]] : [],
    );
    deepStrictEqual(ofCalls, [
      [0, "start all_gather w", 0, 100],
      [0, "y", 100, 5000],
      [0, "finish all_gather w", 5_100, 900],
      [0, "waits for another worker", 5_100, 800],
      [0, "all_gather w", 0, 6000],
      [0, "z (1 fused)", 6_000, 50],
      [1, "start all_gather w", 3_000, 90],
      [1, "y", 3_090, 4000],
      [1, "finish all_gather w", 7_090, 10],
      [1, "all_gather w", 3_000, 4100],
      [1, "z (1 fused)", 7_100, 40],
    ]);
    strictEqual(events.filter(({ ph }) => ph === "f").length, 2);
    match((await lapidary(["trace", "missing", "-o", "x.json"], directory)).stderr, /run not found/);
  });

  it("plan searches, ranks, and writes the best layout as a job file whose plan agrees", async () => {
    const file = join(directory, "best.yaml");
    const ended = await plan("configs/jobs/micro.yaml", "--search", "--write", file, "--json");
    strictEqual(ended.code, 0, ended.stderr);
    const { plans } = JSON.parse(ended.stdout) as { plans: { time_s: number; step_time_s: number; fits: boolean; pareto: boolean }[] };
    ok(plans.length > 10 && plans[0]?.pareto === true);
    match(ended.stderr, /plans tried/);
    const best = Math.min(...plans.filter(({ fits }) => fits).map(({ time_s }) => time_s));
    const again = reportOf(await plan(file, "--json"));
    ok(
      again.step_time_s * (jobAt("micro.yaml").train.batch / loadJob(file, [], { configsDir, base: root }).train.batch) <=
        best * (1 + 1e-9),
    );
  });
});
