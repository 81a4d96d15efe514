import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, interpret, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import fc from "fast-check";
import type { Adapter, Dispatch, ExpertLoad } from "../model.js";
import { maxAbsDifference, normals } from "../testing.js";
import { capacityOf } from "./capacity.js";
import { droplessSlots } from "./dropless.js";
import { applyExperts } from "./experts.js";
import { route } from "./routing.js";

/** Sizes of a layer: rows, positions, width, experts, width of an expert, experts of a token. */
interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly D: number;
  readonly E: number;
  readonly F: number;
  readonly k: number;
}

const sizes = fc
  .record({
    B: fc.integer({ min: 1, max: 3 }),
    T: fc.integer({ min: 1, max: 9 }),
    E: fc.integer({ min: 1, max: 6 }),
    k: fc.integer({ min: 1, max: 6 }),
  })
  .map(({ k, ...rest }): Sizes => ({ ...rest, D: 4, F: 3, k: Math.min(k, rest.E) }));

function inputsOf({ B, T, D, E, F }: Sizes, seed: number): Map<string, Tensor> {
  const dims = { x: [B, T, D], logits: [B, T, E], gate: [E, F, D], up: [E, F, D], down: [E, D, F], a: [E, 2, D], b: [E, F, 2] };
  return new Map(Object.entries(dims).map(([name, shape], i) => [name, normals(seed * 16 + i, shape)]));
}

/** The outputs of a layer of experts, by name: the result, and the load. */
function run(of: Sizes, inputs: ReadonlyMap<string, Tensor>, dispatch: Dispatch, adapted = false): ReadonlyMap<string, Tensor> {
  const g = new GraphBuilder("test");
  const values = new Map([...inputs].map(([name, t]) => [name, g.parameter(name, tensorType(t.dtype, t.dims))]));
  const value = (name: string): Value => ensure(values.get(name), name);
  const adapter: Adapter = { a: value("a"), b: value("b"), scale: 0.5 };
  const stacks = {
    gate: { weight: value("gate"), ...(adapted ? { adapter } : {}) },
    up: { weight: value("up") },
    down: { weight: value("down") },
  };
  const { output, load } = applyExperts(g, value("x"), route(g, value("logits"), of.k), stacks, { dispatch, normalize: true });
  g.output("out", output);
  for (const [name, loaded] of Object.entries(load) as [keyof ExpertLoad, Value][]) g.output(name, loaded);
  return interpret(g.finish(), inputs);
}

const get = (out: ReadonlyMap<string, Tensor>, name: string): Tensor => ensure(out.get(name), name);

/** The layer token by token: each token takes a place in its experts, in the order of the row, while there is one. */
function reference({ B, T, D, E, F, k }: Sizes, inputs: ReadonlyMap<string, Tensor>, capacity: number): { out: Tensor; dropped: number[] } {
  const data = (name: string): Float64Array => get(inputs, name).data;
  const at = (name: string, index: number): number => data(name)[index] ?? 0;
  const out = new Float64Array(B * T * D);
  const dropped = Array<number>(E).fill(0);
  for (let b = 0; b < B; b++) {
    const taken = Array<number>(E).fill(0);
    for (let t = 0; t < T; t++) {
      const row = b * T + t;
      const logits = Array.from({ length: E }, (_, e) => at("logits", row * E + e));
      const chosen = logits
        .map((logit, e) => [logit, e] as const)
        .sort(([p, i], [q, j]) => q - p || i - j)
        .slice(0, k);
      const total = chosen.reduce((sum, [logit]) => sum + Math.exp(logit), 0);
      for (const [logit, e] of chosen) {
        if (ensure(taken[e], "expert") === capacity) {
          dropped[e] = (dropped[e] ?? 0) + 1;
          continue;
        }
        taken[e] = (taken[e] ?? 0) + 1;
        const into = (name: string, f: number): number =>
          Array.from({ length: D }, (_, d) => at("x", row * D + d) * at(name, (e * F + f) * D + d)).reduce((p, q) => p + q);
        for (let f = 0; f < F; f++) {
          const gate = into("gate", f);
          const hidden = (gate / (1 + Math.exp(-gate))) * into("up", f);
          for (let d = 0; d < D; d++)
            out[row * D + d] = (out[row * D + d] ?? 0) + (Math.exp(logit) / total) * hidden * at("down", (e * D + d) * F + f);
        }
      }
    }
  }
  return { out: tensor("f32", [B, T, D], out), dropped };
}

describe("experts of a layer", () => {
  it("dispatch by capacity computes the first tokens of a row that chose an expert, and counts the others as dropped", () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0.1, max: 2, noNaN: true }), fc.nat(1000), (of, capacityFactor, seed) => {
        const inputs = inputsOf(of, seed);
        const out = run(of, inputs, { kind: "capacity", capacityFactor });
        const expected = reference(of, inputs, capacityOf(of.T, { count: of.E, perToken: of.k }, capacityFactor));
        ok(maxAbsDifference(get(out, "out"), expected.out) < 1e-9);
        deepStrictEqual([...get(out, "dropped").data], expected.dropped);
        strictEqual(
          get(out, "assigned").data.reduce((a, b) => a + b),
          of.B * of.T * of.k,
        );
      }),
      { numRuns: 60 },
    );
  });

  it("a capacity factor of experts / per_token gives the numbers of the dense form, also with an adapter", () => {
    fc.assert(
      fc.property(sizes, fc.boolean(), fc.nat(1000), (of, adapted, seed) => {
        const inputs = inputsOf(of, seed);
        const capacity = run(of, inputs, { kind: "capacity", capacityFactor: of.E / of.k }, adapted);
        const dense = run(of, inputs, { kind: "dense" }, adapted);
        ok(maxAbsDifference(get(capacity, "out"), get(dense, "out")) < 1e-9);
        deepStrictEqual(get(capacity, "assigned"), get(dense, "assigned"));
        ok(get(capacity, "dropped").data.every((n) => n === 0));
      }),
      { numRuns: 40 },
    );
  });

  it("dropless dispatch gives the numbers of the dense form for any number of parts of the experts, also with an adapter", () => {
    const divided = sizes.chain((of) =>
      fc.record({ of: fc.constant(of), parts: fc.constantFrom(...[1, 2, 3, 4, 5, 6].filter((parts) => of.E % parts === 0)) }),
    );
    fc.assert(
      fc.property(divided, fc.boolean(), fc.nat(1000), ({ of, parts }, adapted, seed) => {
        const inputs = inputsOf(of, seed);
        const dropless = run(of, inputs, { kind: "dropless", parts, imbalance: 1 }, adapted);
        const dense = run(of, inputs, { kind: "dense" }, adapted);
        ok(maxAbsDifference(get(dropless, "out"), get(dense, "out")) < 1e-9);
        deepStrictEqual(get(dropless, "assigned"), get(dense, "assigned"));
        ok(!dropless.has("dropped"));
      }),
      { numRuns: 40 },
    );
  });

  it("a part of the experts has slots for any choices of a row, and with one part no slot is empty", () => {
    const of = { count: 8, perToken: 2 };
    deepStrictEqual([droplessSlots(32, of, 1), droplessSlots(32, of, 4), droplessSlots(32, of, 8)], [64, 64, 32]);
  });

  it("the capacity is rounded up, and is at most the tokens of a row", () => {
    const of = { count: 8, perToken: 2 };
    deepStrictEqual([capacityOf(32, of, 1.25), capacityOf(33, of, 1), capacityOf(16, of, 100)], [10, 9, 16]);
  });
});
