import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { StepTrace } from "@lapidary/api/step-traces";
import { stepProfile } from "./step-profile.js";

const calls = [
  { kind: "start", op: "all_gather", name: "params/layers.0.w", phase: "forward", block: 0 },
  { kind: "product", op: "dot_general", name: "layers.0.up", phase: "forward", block: 0 },
  { kind: "finish", op: "all_gather", name: "params/layers.0.w", phase: "forward", block: 0 },
  { kind: "product", op: "dot_general", name: "layers.1.up", phase: "forward", block: 1 },
  { kind: "fused", op: "multiply", name: "loss", phase: "forward", joins: 4 },
] as const;
/** 100 us before the matmuls, `product` us for each, 300 us of waiting in the finish, and a gap of 50 us at the end. */
const trace = (step: number, product: number): StepTrace => ({
  step,
  calls,
  workers: [0, 1].map((worker) => ({
    began_ms: worker,
    calls_us: [0, 100, 0, 100, product, 0, 100 + product, 400, 300, 500 + product, product, 0, 550 + 2 * product, 200, 0],
  })),
});

describe("the profile of a run's steps", () => {
  it("the profile splits a step into its parts, and omits the first step", () => {
    const profile = stepProfile([trace(1, 90_000), trace(2, 1000), trace(3, 3000), trace(4, 2000)]);
    ok(profile !== undefined);
    strictEqual(profile.steps, 3);
    deepStrictEqual(profile.split_ms, { products: 4, fused: 0.2, other_kernels: 0, messages: 0.2, waiting: 0.3, between_calls: 0.05 });
    strictEqual(profile.step_ms, 4.75);
    strictEqual(
      Object.values(profile.split_ms).reduce((a, b) => a + b),
      profile.step_ms,
    );
    deepStrictEqual(
      profile.each.map(({ step, step_ms }) => [step, step_ms]),
      [
        [2, 2.75],
        [3, 6.75],
        [4, 4.75],
      ],
    ); // prettier-ignore
    // Equal calls of all blocks are one line.
    deepStrictEqual(profile.calls[0], { name: "layers.*.up", kind: "product", phase: "forward", count: 2, ms: 4 });
  });

  it("a run without recorded steps has no profile; a run with one step has the profile of that step", () => {
    strictEqual(stepProfile([]), undefined);
    strictEqual(stepProfile([trace(3, 1000)])?.steps, 1);
  });
});
