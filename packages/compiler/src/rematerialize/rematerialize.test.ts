import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import { makeMesh } from "@lapidary/topology";
import { type Graph, GraphBuilder, type Value, interpret, tensorType } from "@lapidary/ir";
import { compile } from "../compile.js";
import { gradients } from "../differentiate/index.js";
import { randomInputs } from "../testing/random-graph.js";
import { type RematPolicy, rematPolicies, rematerialize } from "./index.js";

const [B, D, F, layers] = [4, 8, 32, 3];

/** `layers` blocks x + tanh(x·up)·down with a loss and its gradients. */
function blocks(): Graph {
  const g = new GraphBuilder("blocks");
  const weights = Array.from(
    { length: layers },
    (_, i) =>
      [
        g.parameter(`up${i}`, tensorType("f32", [F, D]), undefined, "param"),
        g.parameter(`down${i}`, tensorType("f32", [D, F]), undefined, "param"),
      ] as const,
  );
  let x: Value = g.parameter("x", tensorType("f32", [B, D]), undefined, "batch");
  weights.forEach(([up, down], i) =>
    g.block("layers", i, () => {
      const hidden = g.named("hidden", g.tanh(g.named("up", g.dotGeneral(x, up, [], [[1, 1]]))));
      x = g.named("out", g.add(x, g.named("down", g.dotGeneral(hidden, down, [], [[1, 1]]))));
    }),
  );
  const loss = g.reduce(g.square(x), [0, 1], "sum");
  g.output("loss", loss);
  gradients(g, loss, weights.flat()).forEach((grad, i) => g.output(`grad${i}`, grad));
  return g.finish();
}

const planOf = (remat: RematPolicy): ReturnType<typeof compile> =>
  compile(blocks(), { mesh: makeMesh({ data: 1 }), rules: {}, zero: { stage: 0, axes: [] }, remat });

describe("rematerialize", () => {
  it("a step computes the same numbers under every policy", () => {
    const graph = blocks();
    const inputs = randomInputs(seededRandom(1), graph);
    const expected = interpret(graph, inputs);
    for (const policy of rematPolicies)
      for (const [name, result] of interpret(rematerialize(graph, policy), inputs))
        deepStrictEqual(result.data, expected.get(name)?.data, `${policy} ${name}`);
  });

  it("the activations have exactly the bytes that the policy keeps", () => {
    const f32 = 4;
    // Values that are live from the forward to the backward pass. none: tanh [B,F] of each block, and its output [B,D], which the
    // weight gradient of the next block or the loss reads. x itself is a parameter.
    strictEqual(planOf("none").memory.peakByClass.activations, layers * f32 * B * F + layers * f32 * B * D);
    // dots: the matmul before tanh [B,F] instead of tanh; the size is the same.
    strictEqual(planOf("dots").memory.peakByClass.activations, layers * f32 * B * F + layers * f32 * B * D);
    // full: only the outputs of blocks.
    strictEqual(planOf("full").memory.peakByClass.activations, layers * f32 * B * D);
  });

  it("only the policy full recomputes matmuls", () => {
    const flops = (policy: RematPolicy): number => planOf(policy).chip.values.filter((v) => v.op === "dot_general").length;
    strictEqual(flops("none"), flops("dots"));
    ok(flops("full") > flops("none"));
    // The second matmul of a block is an operand only of the residual, which is kept. It is not recomputed.
    strictEqual(flops("full"), flops("none") + layers);
  });
});
