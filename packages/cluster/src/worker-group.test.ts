import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { type Graph, GraphBuilder, tensorType } from "@lapidary/ir";
import { LapidaryError, ensure } from "@lapidary/std";
import { arrayOf, epochOf, handleOf, stepIndex } from "@lapidary/protocol";
import { WorkerGroup, type WorkerGroupOptions } from "./worker-group.js";
import { runProgramOnce } from "./run-program.js";
import { counter, counts, mesh, sharding } from "./testing/counter.js";
import { WorkerPool } from "./worker-pool.js";

/** x [data, model] · w [model, -]: unreduced over model; then one output for each collective. */
function collectives(): Graph {
  const g = new GraphBuilder("collectives", "chip", mesh);
  const x = g.push("parameter", [], { name: "x" }, tensorType("f32", [2, 4]), { name: "x", sharding: sharding("[data, model]") });
  const w = g.push("parameter", [], { name: "w" }, tensorType("f32", [4, 4]), { name: "w", sharding: sharding("[model, -]") });
  const y = g.op(
    "dot_general",
    [x, w],
    { batch: [], contracting: [[1, 0]] },
    { name: "y", sharding: sharding("[data, -] unreduced model") },
  );
  const reduced = g.op("all_reduce", [y], { axes: ["model"], size: 2, kind: "sum" }, { name: "reduced", sharding: sharding("[data, -]") });
  const gathered = g.op(
    "all_gather",
    [reduced],
    { axes: ["data"], size: 2, dimension: 0 },
    { name: "gathered", sharding: sharding("[-, -]") },
  );
  const columns = g.op("reduce", [reduced], { dims: [0], kind: "sum" }, { name: "columns", sharding: sharding("[-] unreduced data") });
  const scattered = g.op(
    "reduce_scatter",
    [columns],
    { axes: ["data"], size: 2, kind: "sum", dimension: 0 },
    { name: "scattered", sharding: sharding("[data]") },
  );
  const moved = g.op(
    "all_to_all",
    [reduced],
    { axes: ["data"], size: 2, splitDimension: 1, concatDimension: 0 },
    { name: "moved", sharding: sharding("[-, data]") },
  );
  for (const value of [reduced, gathered, scattered, moved]) g.output(value.name, value);
  return g.finish();
}

const inputs = new Map([
  [
    "x",
    arrayOf(
      "f32",
      [4, 8],
      Float32Array.from({ length: 32 }, (_, i) => i % 5),
    ),
  ],
  [
    "w",
    arrayOf(
      "f32",
      [8, 4],
      Float32Array.from({ length: 32 }, (_, i) => (i % 3) - 1),
    ),
  ],
]);
const at = (name: string, i: number): number => ensure(ensure(inputs.get(name), name).data[i], name);
const product = Array.from({ length: 16 }, (_, i) =>
  Array.from({ length: 8 }, (_v, k) => at("x", Math.floor(i / 4) * 8 + k) * at("w", k * 4 + (i % 4))).reduce((a, b) => a + b, 0),
);

describe("a worker group of processes", function () {
  this.timeout(60_000);
  let pool: WorkerPool;
  let runs = 0;
  before(async () => {
    pool = await WorkerPool.start({ environment: process.env, warm: 2 });
  });
  after(() => pool.close());

  const start = (options: Partial<WorkerGroupOptions> = {}): Promise<WorkerGroup> =>
    WorkerGroup.start(pool, { runId: `run${runs++}`, epoch: epochOf(1), mesh, workers: 2, ...options });

  for (const [what, options] of [
    ["one worker", { workers: 1 }],
    ["two workers", { workers: 2 }],
    ["four workers", { workers: 4 }],
    ["the chipwise executor", { executor: "chipwise" }],
  ] as const)
    it(`collectives compute their definitions with ${what}`, async () => {
      const group = await start(options);
      const out = await runProgramOnce(group, { chip: collectives() }, inputs);
      deepStrictEqual([...ensure(out.get("reduced"), "reduced").data], product);
      deepStrictEqual([...ensure(out.get("gathered"), "gathered").data], product);
      deepStrictEqual([...ensure(out.get("moved"), "moved").data], product);
      deepStrictEqual(
        [...ensure(out.get("scattered"), "scattered").data],
        [0, 1, 2, 3].map((c) => [0, 1, 2, 3].reduce((sum, r) => sum + ensure(product[r * 4 + c], "element"), 0)),
      );
      ok(
        (await group.stats()).every(({ values }) => Object.keys(values).length === 0),
        "nothing remains",
      );
      await group.close();
    });

  it("a worker group accepts many steps before the first is done, and keeps their order", async () => {
    const group = await start();
    const program = await group.load({ chip: counter() });
    await group.put(group.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
    const bound = group.bind(program, { ...counts, scalars: ["sum"] });
    const steps = Array.from({ length: 20 }, (_, step) => group.run(bound, { step: stepIndex(step) }));
    const reports = await Promise.all(steps);
    deepStrictEqual(
      reports.map(({ scalars }) => scalars.get("sum")),
      steps.map((_, step) => 8 * step * step),
    );
    ok(reports.every(({ workers }) => workers.length === 2));
    deepStrictEqual(
      (await group.stats()).map(({ values }) => Object.keys(values)),
      [["s"], ["s"]],
    );
    deepStrictEqual([...(await group.fetch(handleOf("s"))).data], Array(8).fill(20));
    const { scalars, workers } = await group.run(bound, { step: stepIndex(20), times: 5 });
    deepStrictEqual([scalars.get("sum"), workers.length], [8 * 24 * 24, 2], "one answer for five runs");
    deepStrictEqual([...(await group.fetch(handleOf("s"))).data], Array(8).fill(25));
    await rejects(
      group.run(group.bind(program, { ...counts, outputs: new Map() }), { step: stepIndex(25), times: 2 }),
      /creates all that it consumes/,
    );
    await group.close();
  });

  it("a traced run reports every call in order, on one clock for all workers", async () => {
    const group = await start();
    const program = await group.load({ chip: counter() });
    const calls = await group.describe(program);
    ok(calls.length > 0 && calls.filter(({ kind }) => kind === "start").length === calls.filter(({ kind }) => kind === "finish").length);
    await group.put(group.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
    const bound = group.bind(program, counts);
    const [plain, traced] = [await group.run(bound, { step: stepIndex(0) }), await group.run(bound, { step: stepIndex(1), trace: true })];
    ok(plain.workers.every(({ trace }) => trace === undefined));
    const begins = traced.workers.map(({ trace }) => ensure(trace, "trace").began_ms);
    ok(Math.abs(ensure(begins[0], "begin") - ensure(begins[1], "begin")) < 60_000, `workers began at ${begins.join(" and ")}`);
    for (const { trace, total_ms } of traced.workers) {
      const { calls_us } = ensure(trace, "trace");
      strictEqual(calls_us.length, 3 * calls.length);
      let end = 0;
      for (let i = 0; i < calls_us.length; i += 3) {
        const [begin = NaN, length = NaN, waited = NaN] = calls_us.slice(i, i + 3);
        ok(begin >= end - 2 && waited >= 0 && waited <= length + 1, `call ${i / 3} begins at ${begin}, after ${end}`);
        end = begin + length;
      }
      ok(end <= total_ms * 1000 + 2, `calls end at ${end} us of ${total_ms} ms`);
    }
    await group.close();
  });

  it("a worker has its blocks of a value and nothing else", async () => {
    const group = await start();
    for (const [id, text] of [
      ["s", "[data]"],
      ["t", "[-]"],
    ] as const)
      await group.put({ id: handleOf(id), dtype: "f32", dims: [8], sharding: sharding(text) }, arrayOf("f32", [8], new Float32Array(8)));
    deepStrictEqual(
      (await group.stats()).map(({ values }) => values),
      [
        { s: 16, t: 32 },
        { s: 16, t: 32 },
      ],
    );
    await group.close();
  });

  it("when a worker is killed, all pending requests fail with LAP_WORKER_LOST, which names worker, pid and signal", async () => {
    const group = await start();
    const program = await group.load({ chip: counter() });
    await group.put(group.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
    const victim = ensure(group.pids[1], "pid");
    process.kill(victim, "SIGSTOP"); // it never answers, so that all later requests stay pending
    const bound = group.bind(program, counts);
    const pending = Array.from({ length: 5 }, (_, step) => group.run(bound, { step: stepIndex(step) }));
    const fetched = group.fetch(handleOf("s"));
    process.kill(victim, "SIGKILL");
    const isLost = (error: unknown): boolean =>
      error instanceof LapidaryError &&
      error.code === "LAP_WORKER_LOST" &&
      error.message.includes(`worker 1`) &&
      error.message.includes(String(victim)) &&
      error.message.includes("SIGKILL");
    for (const promise of [...pending, fetched]) await rejects(promise, isLost);
    ok(isLost(await group.failed));
    await rejects(group.fetch(handleOf("s")), isLost);
    await group.close();
  });

  it("a worker group evicts the worker that hangs while all are alive, and reports it", async () => {
    const own = await WorkerPool.start({ environment: { ...process.env, LAPIDARY_FAILPOINTS: "before-vote@1,1:hang" }, warm: 2 });
    const group = await WorkerGroup.start(own, { runId: "hangs", epoch: epochOf(1), mesh, workers: 2, stallAfterMs: 1500 });
    const program = await group.load({ chip: counter() });
    await group.put(group.parameter(program, "s"), arrayOf("f32", [8], new Float32Array(8)));
    const run = group.run(group.bind(program, counts), { step: stepIndex(0), update: true });
    await rejects(
      run,
      (error: LapidaryError) => error.code === "LAP_WORKER_LOST" && /worker 1 .*no worker has answered for/.test(error.message),
    );
    await group.close();
    await own.close();
  });

  it("a worker group reports the value whose kernel failed, on all workers at the same time", async () => {
    const group = await start();
    const g = new GraphBuilder("bad", "chip", mesh);
    const s = g.push("parameter", [], { name: "s" }, tensorType("i32", [4]), { name: "s", sharding: sharding("[data]") });
    const one = g.op("constant", [], { value: 1, dims: [4], dtype: "i32" }, { name: "one", sharding: sharding("[data]") });
    const ratio = g.op("divide", [one, s], {}, { name: "layers.0.ratio", sharding: sharding("[data]") });
    g.output(
      "ratio",
      g.op("all_gather", [ratio], { axes: ["data"], size: 2, dimension: 0 }, { name: "gathered", sharding: sharding("[-]") }),
    );
    const program = await group.load({ chip: g.finish() });
    // Only worker 1 divides by zero; worker 0 waits for a message of worker 1.
    await group.put(group.parameter(program, "s"), arrayOf("i32", [8], Int32Array.of(1, 1, 1, 1, 1, 1, 0, 1)));
    const bound = group.bind(program, { inputs: new Map([["s", handleOf("s")]]), outputs: new Map([["ratio", handleOf("ratio")]]) });
    await rejects(group.run(bound, { step: stepIndex(0) }), { code: "LAP_WORKER_KERNEL", location: "layers.0.ratio" });
    await rejects(group.fetch(handleOf("s")), { code: "LAP_WORKER_KERNEL" });
    await group.close();
  });

  it("a worker group rejects a malformed program", async () => {
    const group = await start({ workers: 1 });
    const g = new GraphBuilder("broken", "chip", mesh);
    const s = g.push("parameter", [], { name: "s" }, tensorType("f32", [4]), { name: "s", sharding: sharding("[-]") });
    g.output("y", g.push("reshape", [s.id], { dims: [3] }, tensorType("f32", [3]), { name: "y", sharding: sharding("[-]") }));
    await rejects(group.load({ chip: g.finish() }), { code: "LAP_IR_SHAPE" });
    await group.close();
  });

  it("workers reject messages of an older attempt of the same run", async () => {
    const group = await start({ runId: "fenced", epoch: epochOf(5), workers: 1 });
    await group.close();
    await rejects(start({ runId: "fenced", epoch: epochOf(5), workers: 1 }), { code: "LAP_WORKER_STALE" });
    await (await start({ runId: "fenced", epoch: epochOf(6), workers: 1 })).close();
  });

  it("a worker group returns its workers to the pool, which reuses them", async () => {
    const first = await start();
    const { pids } = first;
    await first.close();
    const second = await start();
    deepStrictEqual([...second.pids].sort(), [...pids].sort());
    await second.close();
  });
});
