import { deepStrictEqual } from "node:assert/strict";
import { type Graph, parseGraph } from "@lapidary/ir";
import { narrowMoves } from "./narrow-moves.js";
import { dropDead } from "./rewrites.js";

/** The computed values with their types, in order. */
const rewritten = (lines: string): string[] => {
  const graph: Graph = dropDead(narrowMoves(parseGraph(`graph p chip mesh data=2\n${lines}`)));
  return graph.values.filter(({ op }) => op !== "parameter").map(({ op, type }) => `${op} ${type.dtype}[${type.dims.join()}]`);
};

const gather = 'all_gather %1 dimension=0 axes=["data"] size=2';

describe("types of moved arrays", () => {
  it("a conversion to a wider type is computed after the gather, and one to a narrower type before it", () => {
    const wide = rewritten(`%0 = parameter name="w" : bf16[2] [data] @w
%1 = convert %0 dtype="f32" : f32[2] [data] @c
%2 = ${gather} : f32[4] [-] @g
return y=%2`);
    deepStrictEqual(wide, ["all_gather bf16[4]", "convert f32[4]"]);
    const narrow = rewritten(`%0 = parameter name="w" : f32[2] [data] @w
%1 = negate %0 : f32[2] [data] @n
%2 = ${gather} : f32[4] [-] @g
%3 = convert %2 dtype="bf16" : bf16[4] [-] @c
return y=%3`);
    deepStrictEqual(narrow, ["negate f32[2]", "convert bf16[2]", "all_gather bf16[4]"]);
  });

  it("a gather with another reader keeps its type, and so does a reduction, which would round", () => {
    const read = rewritten(`%0 = parameter name="w" : f32[2] [data] @w
%1 = negate %0 : f32[2] [data] @n
%2 = ${gather} : f32[4] [-] @g
%3 = convert %2 dtype="bf16" : bf16[4] [-] @c
return y=%3 z=%2`);
    deepStrictEqual(read, ["negate f32[2]", "all_gather f32[4]", "convert bf16[4]"]);
    const reduced = rewritten(`%0 = parameter name="w" : f32[4] [-] @w
%1 = negate %0 : f32[4] [-] unreduced data @n
%2 = all_reduce %1 axes=["data"] size=2 kind="sum" : f32[4] [-] @r
%3 = convert %2 dtype="bf16" : bf16[4] [-] @c
return y=%3`);
    deepStrictEqual(reduced, ["negate f32[4]", "all_reduce f32[4]", "convert bf16[4]"]);
  });
});
