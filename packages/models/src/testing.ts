import { GraphBuilder, interpret, sizeOf, type Tensor, tensor, tensorType, type Value } from "@lapidary/ir";
import { ensure, normalAt } from "@lapidary/std";

/** Helpers for the tests of this package. */

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
