import { deepStrictEqual } from "node:assert/strict";
import { GraphBuilder, type Graph, type Tensor, type Value, interpret, sizeOf, tensor } from "@lapidary/ir";
import { padsToConcat } from "./pads-to-concat.js";
import { dropDead } from "./rewrites.js";

const dims = [3, 5];
const pad = (g: GraphBuilder, x: Value, low: number, high: number): Value => g.op("pad", [x], { low: [0, low], high: [0, high] });

/** Sums of `x`, of `a` with zeros after it and of `b` with zeros before it. */
function sums(build: (g: GraphBuilder, x: Value, a: Value, b: Value) => Value): Graph {
  const g = new GraphBuilder("sums");
  const x = g.parameter("x", { dtype: "f32", dims });
  const a = g.parameter("a", { dtype: "f32", dims: [3, 2] });
  const b = g.parameter("b", { dtype: "f32", dims: [3, 3] });
  g.output("sum", build(g, x, pad(g, a, 0, 3), pad(g, b, 2, 0)));
  return g.finish();
}

const ops = (graph: Graph): string =>
  graph.values
    .filter(({ op }) => op !== "parameter")
    .map(({ op }) => op)
    .join(" ");

function results(graph: Graph): Tensor["data"] | undefined {
  const from = (first: number, size: readonly number[]): Tensor =>
    tensor(
      "f32",
      size,
      Float64Array.from({ length: sizeOf(size) }, (_, i) => first + i / 3),
    );
  return interpret(
    graph,
    new Map([
      ["x", from(1, dims)],
      ["a", from(-7, [3, 2])],
      ["b", from(11, [3, 3])],
    ]),
  ).get("sum")?.data;
}

describe("padsToConcat", () => {
  const add = (g: GraphBuilder, a: Value, b: Value): Value => g.op("add", [a, b], {});
  for (const [title, build, expected] of [
    ["the sum of two complementary pads becomes a concatenation", (g, _x, a, b) => add(g, a, b), "concatenate"],
    ["the sum of two complementary pads in reverse order becomes a concatenation", (g, _x, a, b) => add(g, b, a), "concatenate"],
    ["complementary pads that are added to a value become a concatenation", (g, x, a, b) => add(g, add(g, x, a), b), "concatenate add"],
    ["complementary pads at any position of a sum become a concatenation", (g, x, a, b) => add(g, a, add(g, b, x)), "concatenate add"],
    ["pads are kept if the sum with the first pad has another use", usedTwice, "pad pad add add multiply"],
    ["pads that overlap are kept", (g, x, a) => add(g, add(g, x, a), a), "pad add add"],
  ] as [string, (g: GraphBuilder, x: Value, a: Value, b: Value) => Value, string][])
    it(title, () => {
      const graph = sums(build);
      const joined = dropDead(padsToConcat(graph));
      deepStrictEqual(ops(joined), expected);
      deepStrictEqual(results(joined), results(graph));
    });

  function usedTwice(g: GraphBuilder, x: Value, a: Value, b: Value): Value {
    const first = add(g, x, a);
    return g.op("multiply", [add(g, first, b), first], {});
  }
});
