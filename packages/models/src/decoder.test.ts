import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { GraphBuilder, interpret, parseGraph, printGraph, type Tensor, tensor, tensorType, type Value, verifyGraph } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { expectText } from "@lapidary/std/testing";
import { type ModelConfig, buildModel, modelConfigSchema, paramsOf, logitsOf, parameterCount } from "./index.js";
import { ints, maxAbsDifference, normals } from "./testing.js";

const tiny = modelConfigSchema.parse({
  vocabSize: 11,
  modelDim: 12,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  headDim: 6,
  mlpDim: 10,
  contextLength: 8,
});

const weights = (config: ModelConfig): Map<string, Tensor> =>
  new Map(paramsOf(config).map(({ name, dims }, i) => [name, normals(i + 1, dims, 0.3)]));

function logits(config: ModelConfig, params: ReadonlyMap<string, Tensor>, tokens: Tensor): Tensor {
  const model = buildModel(config);
  const g = new GraphBuilder("logits");
  const values = new Map<string, Value>(model.params.map(({ name, dims }) => [name, g.parameter(name, tensorType("f32", dims))]));
  g.output("logits", logitsOf(model, g, values, g.parameter("tokens", tensorType("i32", tokens.dims))));
  return ensure(interpret(g.finish(), new Map([...params, ["tokens", tokens]])).get("logits"), "logits");
}

/** Rows of heads of `x` [heads·size, D], each head `times` times in a row: what `repeat_interleave` does to kv heads. */
function repeatHeads(x: Tensor, heads: number, times: number): Tensor {
  const rows = x.data.length / heads;
  const parts = Array.from({ length: heads * times }, (_, h) => [
    ...x.data.subarray(Math.floor(h / times) * rows, (Math.floor(h / times) + 1) * rows),
  ]);
  return tensor("f32", [(x.dims[0] ?? 0) * times, x.dims[1] ?? 0], parts.flat());
}

describe("gemma", () => {
  it("2B and 7B have the parameter counts of the Gemma report", () => {
    const b2 = buildModel({
      vocabSize: 256128,
      modelDim: 2048,
      layers: 18,
      heads: 8,
      kvHeads: 1,
      headDim: 256,
      mlpDim: 16384,
      contextLength: 8192,
      ropeTheta: 10000,
      normEps: 1e-6,
    });
    const b7 = buildModel({
      vocabSize: 256128,
      modelDim: 3072,
      layers: 28,
      heads: 16,
      kvHeads: 16,
      headDim: 256,
      mlpDim: 24576,
      contextLength: 8192,
      ropeTheta: 10000,
      normEps: 1e-6,
    });
    strictEqual(parameterCount(b2), 524_550_144 + 1_981_884_416);
    strictEqual(parameterCount(b7), 786_825_216 + 7_751_248_896);
  });

  it("no position depends on a later token", () => {
    const params = weights(tiny);
    const before = logits(tiny, params, ints([1, 5], [2, 3, 4, 5, 6]));
    const after = logits(tiny, params, ints([1, 5], [2, 3, 4, 9, 6]));
    const changed = Array.from({ length: 5 }, (_, t) =>
      before.data.subarray(t * 11, (t + 1) * 11).some((x, i) => x !== after.data[t * 11 + i]),
    );
    deepStrictEqual(changed, [false, false, false, true, true]);
  });

  for (const kvHeads of [1, 2])
    it(`query head h reads kv head floor(h / G): ${kvHeads} kv heads equal 4 kv heads with each repeated in place`, () => {
      const grouped = { ...tiny, kvHeads };
      const params = weights(grouped);
      const repeated = new Map([...params].map(([name, x]) => [name, /[kv]_proj/.test(name) ? repeatHeads(x, kvHeads, 4 / kvHeads) : x]));
      const tokens = ints([2, 4], [2, 3, 4, 5, 2, 8, 9, 10]);
      ok(maxAbsDifference(logits(grouped, params, tokens), logits({ ...tiny, kvHeads: 4 }, repeated, tokens)) < 1e-12);
    });

  it("logits use the embedding, and rows of a batch are independent", () => {
    const params = weights(tiny);
    const both = logits(tiny, params, ints([2, 3], [2, 3, 4, 2, 7, 7]));
    const second = logits(tiny, params, ints([1, 3], [2, 7, 7]));
    ok(maxAbsDifference(second, tensor("f32", [1, 3, 11], both.data.slice(33))) < 1e-12);
    strictEqual(
      paramsOf(tiny).some(({ name }) => name.includes("lm_head")),
      false,
    );
  });

  it("the graph equals its snapshot, and its text parses to the same graph", () => {
    const model = buildModel({ ...tiny, layers: 1 });
    const g = new GraphBuilder("forward");
    const values = new Map<string, Value>(
      model.params.map(({ name, dims, logicalAxes }) => [name, g.parameter(name, tensorType("f32", dims), logicalAxes, "param")]),
    );
    g.output("logits", logitsOf(model, g, values, g.parameter("tokens", tensorType("i32", [2, 8]), ["batch", "seq"], "batch")));
    const graph = g.finish();
    verifyGraph(graph);
    deepStrictEqual(printGraph(parseGraph(printGraph(graph))), printGraph(graph));
    expectText(printGraph(graph), new URL("../src/decoder.graph.txt", import.meta.url));
  });

  it("the schema rejects invalid shapes", () => {
    strictEqual(modelConfigSchema.safeParse({ ...tiny, kvHeads: 3 }).success, false);
    strictEqual(modelConfigSchema.safeParse({ ...tiny, headDim: 7 }).success, false);
    strictEqual(modelConfigSchema.safeParse({ ...tiny, normEps: Number.NaN }).success, false);
    strictEqual(modelConfigSchema.safeParse({ ...tiny, experts: 8 }).success, false);
  });
});
