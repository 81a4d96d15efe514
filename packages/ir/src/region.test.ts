import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { ensure } from "@lapidary/std";
import { GraphBuilder } from "./builder.js";
import { type Graph, meanIdle, type Value } from "./graph.js";
import { interpret } from "./interpret.js";
import { parseGraph } from "./parse.js";
import { printGraph, textForDigest } from "./print.js";
import { forEachRun, regionsOf } from "./region.js";
import { tensor } from "./tensor.js";
import { tensorType } from "./types.js";
import { verifyGraph } from "./verify.js";

/** Fibonacci numbers: the two carried values change places. */
function fibonacci(count: number): Graph {
  const g = new GraphBuilder("fibonacci");
  const [a, b] = ["a", "b"].map((name) => g.parameter(name, tensorType("f32", [])));
  const [last] = g.repeat(count, [ensure(a, "a"), ensure(b, "b")], ([x, y]) => [ensure(y, "y"), g.add(ensure(x, "x"), ensure(y, "y"))]);
  g.output("last", g.negate(ensure(last, "last")));
  return g.finish();
}

const inputs = new Map(["a", "b"].map((name) => [name, tensor("f32", [], [1])]));

/** The graph with a change to one value. */
const changed = (graph: Graph, id: number, change: Partial<Value>): Graph => ({
  ...graph,
  values: graph.values.map((value) => (value.id === id ? ({ ...value, ...change } as Value) : value)),
});

describe("repeated regions", () => {
  it("all carried values of an iteration are those of the iteration before", () => {
    const results = [1, 2, 3, 6].map((count) => interpret(fibonacci(count), inputs).get("last")?.data[0]);
    deepStrictEqual(results, [-1, -2, -3, -13]);
  });

  it("the values of a body run once in each iteration, in order", () => {
    const graph = fibonacci(2);
    const runs: string[] = [];
    forEachRun(graph, ({ id, op }, again) => runs.push(`${op} %${id}${again === undefined ? "" : ` from %${again}`}`));
    deepStrictEqual(runs.slice(2), [
      ...["carry %2", "carry %3", "add %4", "yield %5", "yield %6"],
      ...["carry %2 from %5", "carry %3 from %6", "add %4", "yield %5", "yield %6"],
      "negate %7",
    ]);
  });

  it("the text of a graph shows regions in braces, and parses to an equal graph", () => {
    const graph = fibonacci(4);
    verifyGraph(graph);
    const text = printGraph(graph);
    strictEqual(text.match(/repeat 4 \{\n {2}%2 = carry %0/)?.length, 1);
    deepStrictEqual(parseGraph(text), graph);
    throws(() => parseGraph(text.replace("repeat 4 {", "repeat four {")), /repeat COUNT/);
    throws(() => parseGraph(text.replace("  %4", "repeat 2 {\n  %4")), /not nested/);
  });

  it("the text of a graph shows the parts of ticks and the idle iterations of each stage, and parses to an equal graph", () => {
    const g = new GraphBuilder("ticks");
    const idle = { forward: [0, 1], weights: [12, 0] };
    const x = g.parameter("x", tensorType("f32", []));
    const [last] = g.repeat(
      3,
      [x],
      (carried) => carried.map((value) => g.inTick("weights", () => g.negate(g.inTick("forward", () => g.exponential(value))))),
      idle,
    );
    g.output("last", ensure(last, "last"));
    const graph = g.finish();
    const text = printGraph(graph);
    deepStrictEqual(parseGraph(text), graph);
    strictEqual(text.match(/repeat 3 idle forward=0,1 weights=12,0 \{\n/)?.length, 1);
    deepStrictEqual(
      graph.values.map(({ scope }) => [scope.tick, meanIdle(scope)]).filter(([tick]) => tick !== undefined),
      [
        ["forward", 0.5],
        ["weights", 6],
      ],
    );
    throws(() => parseGraph(text.replace("^weights", "^update")), /part of a tick/);
  });

  it("programs with other numbers of iterations have other digests", () => {
    strictEqual(textForDigest(fibonacci(4)) === textForDigest(fibonacci(5)), false);
  });

  it("the verifier rejects a region that violates an invariant", () => {
    const graph = fibonacci(3);
    const [region] = regionsOf(graph);
    deepStrictEqual([region?.first, region?.last, region?.count], [2, 6, 3]);
    const { scope } = ensure(graph.values[4], "add");
    throws(() => verifyGraph(changed(graph, 7, { inputs: [4] })), /values after a region read its yields/);
    throws(() => verifyGraph(changed(graph, 4, { scope: { phase: "forward" } })), /neighbours/);
    throws(() => verifyGraph(changed(graph, 4, { op: "carry", inputs: [2], attrs: {} })), /ends with its yields/);
    throws(() => verifyGraph(changed(graph, 6, { inputs: [2, 4] })), /every carry has one yield/);
    throws(() => verifyGraph(changed(graph, 2, { scope: { ...scope, region: { id: 0, count: 0 } } })), /runs at least once/);
    throws(() => verifyGraph({ ...graph, outputs: [{ name: "last", value: 4 }] }), /outputs of a region/);
  });

  it("a region inside a region is refused", () => {
    const g = new GraphBuilder("nested");
    const x = g.parameter("x", tensorType("f32", []));
    throws(() => g.repeat(2, [x], (outer) => g.repeat(2, outer, (inner) => inner)), /not nested/);
  });
});
