import { deepStrictEqual } from "node:assert/strict";
import { GraphBuilder, parseGraph, printGraph, tensorType } from "@lapidary/ir";
import { mergeEqual } from "./rewrites.js";

describe("values that are equal", () => {
  it("infinities of both signs, NaN and zero stay apart, in a merge and in the text of a graph", () => {
    const b = new GraphBuilder("g");
    const x = b.parameter("x", tensorType("f32", [2]));
    const numbers = [Infinity, -Infinity, Number.NaN, 0];
    for (const [i, number] of numbers.entries()) b.output(`y${i}`, b.add(x, b.splat(number, x.type)));
    const constants = (graph: ReturnType<typeof b.finish>): unknown[] =>
      graph.values.flatMap(({ op, attrs }) => (op === "constant" && "value" in attrs ? [attrs.value] : []));
    const graph = b.finish();
    deepStrictEqual(constants(mergeEqual(graph)), numbers);
    deepStrictEqual(constants(parseGraph(printGraph(graph))), numbers);
  });
});
