import { ok, strictEqual } from "node:assert/strict";
import { openPool, openSession, type SessionOptions } from "@lapidary/trainer";
import { paramsOf } from "@lapidary/models";
import { meshSize, parseMesh } from "@lapidary/topology";
import { buildOptionsOf, defaultRules, parityFailures, parityTolerances, readParityBundle, runParity } from "@lapidary/training";
import { Home } from "./support/cli.js";
import { golden } from "./support/golden.js";
import { strategies, type Strategy } from "./support/strategies.js";

/** What `lapidary parity --json` prints. */
interface ParityJson {
  readonly ok: boolean;
  readonly chips: number;
  readonly workers: number;
  readonly mesh: string;
  readonly logits_max_abs: number;
  readonly loss_abs: readonly number[];
  readonly grads_max_rel_l2: number;
  readonly grads_worst: string;
  readonly params_step1_rms: number;
  readonly params_step5_rms: number;
  readonly sft_loss_abs: number;
  readonly collectives: readonly { readonly op: string; readonly axis: string; readonly count: number; readonly bytes_per_chip: number }[];
}

/** The tolerances of an f32 run, repeated here so that a change in the code fails the test. */
function expectWithinTolerance(result: ParityJson): void {
  ok(result.logits_max_abs <= 2e-5, `logits ${result.logits_max_abs}`);
  strictEqual(result.loss_abs.length, 5);
  for (const loss of result.loss_abs) ok(loss <= 2e-5, `loss ${loss}`);
  ok(result.grads_max_rel_l2 <= 1e-5, `${result.grads_worst} ${result.grads_max_rel_l2}`);
  ok(result.params_step1_rms <= 1e-6 && result.params_step5_rms <= 1e-6, `params ${result.params_step1_rms} ${result.params_step5_rms}`);
  ok(result.sft_loss_abs <= 2e-5, `fine-tuning ${result.sft_loss_abs}`);
}

/** Workers that the sessions of a suite use in sequence. */
function sharedWorkers(): { readonly open: (options: Omit<SessionOptions, "environment" | "pool">) => ReturnType<typeof openSession> } {
  let pool: Awaited<ReturnType<typeof openPool>> | undefined;
  before(async () => {
    pool = await openPool({ environment: process.env, workers: 4 });
  });
  after(() => pool?.close());
  return { open: (options) => openSession({ ...options, environment: process.env, ...(pool === undefined ? {} : { pool }) }) };
}

/** Runs the command, asserts exit code 0, and removes its state directory. */
async function fromCommandLine(...args: string[]): Promise<ParityJson> {
  const home = new Home();
  try {
    const result = (await home.json("parity", ...args)) as unknown as ParityJson;
    strictEqual(home.processes().join("\n"), "");
    return result;
  } finally {
    await home.clear();
  }
}

describe("parity with PyTorch", function () {
  this.timeout(300_000);
  const workersOf = sharedWorkers();

  it("lapidary parity holds on 16×16 chips, 16-way data × 16-way model, ZeRO-3", async () => {
    const result = await fromCommandLine(golden("pod16x16"), "--torus", "16x16", "--mesh", "data=16,model=16", "--zero", "3");
    strictEqual(result.ok, true);
    strictEqual(result.chips, 256);
    strictEqual(result.mesh, "data=16,model=16");
    expectWithinTolerance(result);
    ok(
      result.collectives.some((c) => c.op === "all_gather" && c.axis === "data") &&
        result.collectives.some((c) => c.op === "reduce_scatter" && c.axis === "data"),
    );
  });

  it("lapidary parity holds on 256-way data, ZeRO-3", async () => {
    const result = await fromCommandLine(golden("data256"), "--torus", "16x16", "--mesh", "data=256", "--zero", "3");
    strictEqual(result.chips, 256);
    expectWithinTolerance(result);
  });

  const cases = [
    { bundle: "mqa", mesh: "data=2,model=4", zero: 3, workers: 2, executor: "stacked" },
    { bundle: "mqa", mesh: "model=4", zero: 0, workers: 1, executor: "stacked" },
    { bundle: "mqa", mesh: "data=2,model=2", zero: 2, workers: 2, executor: "chipwise" },
    { bundle: "gqa", mesh: "data=2,model=8", zero: 3, workers: 2, executor: "stacked" },
    { bundle: "gqa", mesh: "pod=2,data=2,model=4", zero: 3, workers: 4, executor: "stacked" },
    { bundle: "mha", mesh: "data=2,model=4", zero: 1, workers: 4, executor: "stacked" },
    { bundle: "mha", mesh: "data=1", zero: 2, workers: 1, executor: "stacked" },
    { bundle: "mha", mesh: "data=2,model=2", zero: 3, workers: 1, executor: "chipwise" },
    { bundle: "gqa", mesh: "data=2,model=4", zero: 3, workers: 2, executor: "stacked", pieces: 5 },
    { bundle: "mqa", mesh: "pod=2,model=2", zero: 1, workers: 2, executor: "chipwise", pieces: 24 },
    { bundle: "pod16x16", mesh: "data=16,model=16", zero: 3, workers: 2, executor: "stacked", microbatches: 2 },
    { bundle: "pod16x16", mesh: "pod=2,data=2,model=2", zero: 0, workers: 2, executor: "stacked", microbatches: 4, pieces: 4 },
    { bundle: "mha", mesh: "data=1,model=2", zero: 1, workers: 1, executor: "chipwise", microbatches: 2 },
    { bundle: "mha", mesh: "data=2,context=4", zero: 3, workers: 2, executor: "stacked", context: { strategy: "all_gather" } },
    { bundle: "mha", mesh: "data=2,context=2,model=2", zero: 2, workers: 1, executor: "chipwise", context: { strategy: "heads" } },
    { bundle: "mqa", mesh: "data=2,context=4", zero: 3, workers: 4, executor: "stacked", context: { strategy: "heads" } },
    { bundle: "gqa", mesh: "context=4,model=2", zero: 1, workers: 2, executor: "stacked", context: { strategy: "heads" } },
  ] as const;
  for (const { bundle: name, mesh: text, zero, workers, executor, ...loss } of cases) {
    const chunks = "pieces" in loss ? { count: loss.pieces, seqParts: 1 } : undefined;
    const pieces = chunks === undefined ? "" : `, the loss in ${chunks.count} pieces`;
    const microbatches = "microbatches" in loss ? loss.microbatches : 1;
    const parts = microbatches === 1 ? "" : `, ${microbatches} microbatches`;
    const strategy = "context" in loss ? `, context by ${loss.context.strategy}` : "";
    it(`parity holds for ${name} on ${text}, ZeRO ${zero}, ${workers} worker${workers === 1 ? "" : "s"}, ${executor}${pieces}${parts}${strategy}`, async () => {
      const bundle = await readParityBundle(golden(name));
      const mesh = parseMesh(text);
      const rules = defaultRules(mesh, paramsOf(bundle.config));
      const session = await workersOf.open({ mesh, workers, executor, zero, rules });
      const context = "context" in loss ? { context: loss.context } : {};
      const build = buildOptionsOf({ mesh: mesh.axes, rules, model: { config: bundle.config }, ...context });
      try {
        const distances = await runParity(bundle, session, { chunks, microbatches, build });
        if ("context" in loss)
          strictEqual(
            session.collectives("train").some(({ op, axis }) => op === "all_to_all" && axis === "context"),
            loss.context.strategy === "heads",
          );
        expectWithinTolerance({ ok: true, chips: meshSize(mesh), workers: session.workers, mesh: text, ...distances, collectives: [] });
      } finally {
        await session.close();
      }
    });
  }
});

describe("strategies on the numbers of PyTorch", function () {
  this.timeout(300_000);
  const workersOf = sharedWorkers();
  it("tensor + zero-3 agrees with its small collectives in buckets", async () => {
    const bundle = await readParityBundle(golden("pod16x16"));
    const mesh = parseMesh("data=16,model=16");
    const session = await workersOf.open({
      mesh,
      workers: 2,
      zero: 3,
      rules: defaultRules(mesh, paramsOf(bundle.config)),
      bucketBytes: 16384,
    });
    try {
      strictEqual(parityFailures(await runParity(bundle, session), parityTolerances("f32")).join("; "), "");
      ok(session.collectives("train").some(({ why }) => why.startsWith("combines ")));
    } finally {
      await session.close();
    }
  });
  const all: [string, Strategy][] = Object.entries(strategies);
  for (const [name, strategy] of all.filter(([, s]) => "model" in s.mesh))
    it(`the strategy ${name} agrees with PyTorch`, async () => {
      const bundle = await readParityBundle(golden("pod16x16"));
      const mesh = parseMesh(
        Object.entries(strategy.mesh)
          .map(([axis, size]) => `${axis}=${size}`)
          .join(","),
      );
      const rules = Object.fromEntries(
        Object.entries(strategy.rules).map(([axis, rule]) => [axis, rule === null ? [] : typeof rule === "string" ? [rule] : [...rule]]),
      );
      const session = await workersOf.open({ mesh, workers: 2, zero: strategy.zero, rules });
      try {
        const failures = parityFailures(await runParity(bundle, session), parityTolerances("f32"));
        strictEqual(failures.join("; "), "");
      } finally {
        await session.close();
      }
    });
  for (const [name, strategy] of all.filter(([, s]) => !("model" in s.mesh)))
    it(`the strategy ${name} agrees with PyTorch, also without a model axis`, async () => {
      const bundle = await readParityBundle(golden("data256"));
      const session = await workersOf.open({
        mesh: parseMesh("data=256"),
        workers: 2,
        zero: strategy.zero,
        rules: { batch: ["data"] },
      });
      try {
        const failures = parityFailures(await runParity(bundle, session), parityTolerances("f32"));
        strictEqual(failures.join("; "), "");
      } finally {
        await session.close();
      }
    });
});
