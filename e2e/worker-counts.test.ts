import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { f32Array, i32Array } from "@lapidary/interop";
import { buildModel } from "@lapidary/models";
import { openPool, openSession } from "@lapidary/trainer";
import { ensure, uniformAt } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { initGraph, trainState, trainStep } from "@lapidary/training";
import { nano16 } from "./support/strategies.js";

/** Numbers by name: what a program has computed. */
type Arrays = ReadonlyMap<string, { readonly dims: readonly number[]; readonly data: ArrayBufferView & ArrayLike<number> }>;

/** What one number of workers has computed. */
interface Result {
  readonly first: Arrays;
  readonly reports: readonly Arrays[];
  readonly again: readonly Arrays[];
}

const shape = { batch: 4, seq: 16 };
const optimizer = { name: "adamw", lr: 1e-3, betas: [0.9, 0.95] as [number, number], eps: 1e-8, weight_decay: 0.1 } as const;
const steps = 2;
const ids = shape.batch * shape.seq;
const batchOf = (step: number): Map<string, ReturnType<typeof i32Array> | ReturnType<typeof f32Array>> => {
  const drawn = (stream: number): Int32Array =>
    Int32Array.from({ length: ids }, (_, i) => Math.floor(uniformAt(100 * step + stream, i) * nano16.vocabSize));
  const dims = [shape.batch, shape.seq];
  return new Map<string, ReturnType<typeof i32Array> | ReturnType<typeof f32Array>>([
    ["tokens", i32Array(dims, drawn(1))],
    ["targets", i32Array(dims, drawn(2))],
    [
      "mask",
      f32Array(
        dims,
        Float32Array.from({ length: ids }, (_, i) => Number(uniformAt(step, i) < 0.8)),
      ),
    ],
  ]);
};

/** The largest difference of two arrays, divided by the root mean square of the first. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const numbers = Array.from(a);
  const scale = Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);
  return Math.max(...numbers.map((x, i) => Math.abs(x - ensure(b[i], "element")))) / Math.max(scale, Number.MIN_VALUE);
}

describe("a run on 1, 2 and 4 workers", function () {
  this.timeout(600_000);
  /** By number of workers: the first state, the outputs of each step, and those of the same steps, computed again. */
  const results = new Map<number, Result>();

  before(async () => {
    const pool = await openPool({ environment: process.env, workers: 4 });
    const mesh = makeMesh({ data: 2, model: 2 });
    const rules = { batch: ["data"], heads: ["model"], kv_heads: ["model"], mlp: ["model"], vocab: ["model"] };
    const model = buildModel(nano16);
    const init = initGraph(trainState(model, optimizer), 1);
    const step = trainStep(model, { steps: 10, optimizer, schedule: { name: "constant", warmup: 0 }, clip: 1 }, shape);
    const states = init.outputs.map(({ name }) => name);
    try {
      for (const workers of [1, 2, 4]) {
        const session = await openSession({ mesh, workers, zero: 3, rules, environment: process.env, pool });
        strictEqual(session.workers, workers);
        const first = await session.run("init", init, new Map());
        const train = async (): Promise<Arrays[]> => {
          const reports: Arrays[] = [];
          let state = first;
          for (let n = 0; n < steps; n++) {
            const outputs = await session.run("train_step", step, new Map([...state, ...batchOf(n)]));
            state = new Map(states.map((id) => [id, ensure(outputs.get(id), id)]));
            reports.push(outputs);
          }
          return reports;
        };
        results.set(workers, { first, reports: await train(), again: await train() });
        await session.close();
      }
    } finally {
      await pool.close();
    }
  });

  const of = (workers: number): Result => ensure(results.get(workers), `${workers} workers`);
  const bits = (arrays: Arrays): [string, string][] =>
    [...arrays].map(([name, { data }]) => [
      name,
      createHash("sha256")
        .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
        .digest("hex"),
    ]);

  it("the first state has the same bits for every number of workers", () => {
    for (const other of [2, 4]) deepStrictEqual(bits(of(other).first), bits(of(1).first));
  });

  it("the same number of workers gives the same bits in every step", () => {
    for (const workers of [1, 2, 4])
      of(workers).reports.forEach((report, n) => deepStrictEqual(bits(ensure(of(workers).again[n], "step")), bits(report)));
  });

  it("counted targets, learning rates and the count of updates have the same bits for every number of workers", () => {
    for (const other of [2, 4])
      for (const name of ["tokens_counted", "learning_rate", "step"])
        deepStrictEqual(
          of(other).reports.map((report) => Array.from(ensure(report.get(name), name).data)),
          of(1).reports.map((report) => Array.from(ensure(report.get(name), name).data)),
          name,
        );
  });

  it("another number of workers changes loss and norm of the first step by the rounding of sums alone", () => {
    // A sum of n numbers in another order differs by at most n roundings of 2^-24; the longest sums of this step have 256 terms.
    const rounding = 256 * 2 ** -24;
    for (const other of [2, 4])
      for (const name of ["loss", "grad_norm"]) {
        const [a, b] = [of(1), of(other)].map(({ reports }) => ensure(reports[0]?.get(name), name).data);
        const relative = difference(ensure(a, name), ensure(b, name));
        ok(relative <= rounding, `${name} with ${other} workers: ${relative}`);
      }
  });
});
