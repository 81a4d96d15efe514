import { GraphBuilder, interpret, sizeOf, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure, normalAt } from "@lapidary/std";
import type { ModelConfig } from "./model-config.js";

/** Helpers for tests. */

/** A model of one layer, for tests whose numbers do not matter. */
export const tinyGemma: ModelConfig = {
  vocabSize: 32,
  modelDim: 8,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  mlpDim: 16,
  contextLength: 8,
  ropeTheta: 1e4,
  normEps: 1e-6,
};

/** The smallest of them, for tests that compare every weight. */
export const smallestGemma: ModelConfig = { ...tinyGemma, vocabSize: 8, modelDim: 4, headDim: 2, mlpDim: 6, contextLength: 4 };

/** Normal numbers of a stream, as an array. */
export const normals = (key: number, dims: readonly number[], scale = 1): Tensor =>
  tensor(
    "f32",
    dims,
    Float64Array.from({ length: sizeOf(dims) }, (_, i) => Math.fround(normalAt(key, i) * scale)),
  );

export const ints = (dims: readonly number[], values: readonly number[]): Tensor => tensor("i32", dims, Float64Array.from(values));

/** Builds a graph of the named inputs and evaluates it. */
export function evaluate(
  inputs: Readonly<Record<string, Tensor>>,
  build: (g: GraphBuilder, values: (name: string) => Value) => Value,
): Tensor {
  const g = new GraphBuilder("test");
  const values = new Map(Object.entries(inputs).map(([name, t]) => [name, g.parameter(name, tensorType(t.dtype, t.dims))]));
  g.output(
    "out",
    build(g, (name) => ensure(values.get(name), name)),
  );
  return ensure(interpret(g.finish(), new Map(Object.entries(inputs))).get("out"), "out");
}

export const maxAbsDifference = (a: Tensor, b: Tensor): number =>
  a.data.reduce((max, x, i) => Math.max(max, Math.abs(x - (b.data[i] ?? NaN))), 0);
