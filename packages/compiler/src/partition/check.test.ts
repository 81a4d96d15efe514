import { ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { makeMesh } from "@lapidary/topology";
import { type Graph, type Value, parseGraph, printGraph } from "@lapidary/ir";
import { compile } from "../compile.js";
import { randomCase } from "../testing/random-graph.js";
import { exampleStep } from "../testing/worked-example.js";
import { checkProgram } from "./check.js";

/** A well-typed program: a matmul over a split dim, its reduction, and a nonlinear op. */
const good = `graph p chip mesh data=2 model=4
%0 = parameter name="x" : f32[4,4] [data, model] @x
%1 = parameter name="w" : f32[8,4] [-, model] @w
%2 = dot_general %0 %1 batch=[] contracting=[[1,1]] : f32[4,8] [data, -] unreduced model @y
%3 = all_reduce %2 axes=["model"] size=4 kind="sum" : f32[4,8] [data, -] @y
%4 = exponential %3 : f32[4,8] [data, -] @e
%5 = all_gather %4 dimension=0 axes=["data"] size=2 : f32[8,8] [-, -] @e
return e=%5`;

/** Replaces a line of the good program. The checker must reject the program and name the line with the error. */
function rejects(from: string, to: string, line: number, message: RegExp): void {
  ok(good.includes(from), from);
  const bad = parseGraph(good.replace(from, to));
  throws(
    () => checkProgram(bad),
    (error: unknown) => error instanceof Error && error.message.includes(`line ${line}`) && message.test(error.message),
  );
}

describe("the checker of per-chip programs", () => {
  it("the checker accepts a well-typed program", () => checkProgram(parseGraph(good)));

  it("the checker rejects a nonlinear op with partial sums as operand", () => {
    rejects("exponential %3 : f32[4,8] [data, -]", "exponential %2 : f32[4,8] [data, -] unreduced model", 6, /not linear/);
  });

  it("the checker rejects a result with partial sums that its sharding omits", () => {
    rejects("[data, -] unreduced model @y", "[data, -] @y", 4, /unreduced model/);
  });

  it("the checker rejects operands that split one factor differently", () => {
    rejects("f32[8,4] [-, model] @w", "f32[8,4] [-, -] @w", 4, /differently/);
  });

  it("the checker rejects a reduction over an axis without partial sums, and a reduction of another kind", () => {
    rejects('all_reduce %2 axes=["model"] size=4 kind="sum"', 'all_reduce %2 axes=["data"] size=2 kind="sum"', 5, /unreduced/);
    rejects('all_reduce %2 axes=["model"] size=4 kind="sum"', 'all_reduce %2 axes=["model"] size=4 kind="max"', 5, /kind/);
  });

  it("the checker rejects a gather over axes that do not split the dim", () => {
    rejects(
      'all_gather %4 dimension=0 axes=["data"] size=2 : f32[8,8]',
      'all_gather %4 dimension=1 axes=["data"] size=2 : f32[4,16]',
      7,
      /minor end/,
    );
  });

  it("the checker rejects a sharding with one axis on two dims", () => {
    throws(() => checkProgram(parseGraph(good.replace("[data, model] @x", "[model, model] @x"))), /twice/);
  });

  it("the checker rejects every program with a missing reduction", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const { graph, mesh, shardings } = randomCase(seed);
        const { chip } = compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        for (const reduction of chip.values.filter((v) => v.op === "all_reduce" || v.op === "reduce_scatter"))
          throws(() => checkProgram(without(chip, reduction)), `seed ${seed}`);
      }),
      { numRuns: 100 },
    );
  });

  it("the checker accepts the parsed text of a compiled program", () => {
    const program = compile(exampleStep(), {
      mesh: makeMesh({ data: 2, model: 2 }),
      rules: { batch: "data", heads: "model", mlp: "model" },
      zero: { stage: 3, axes: ["data"] },
    });
    const text = printGraph(program.chip);
    checkProgram(parseGraph(text));
    strictEqual(printGraph(parseGraph(text)), text);
  });
});

/** The program in which the uses of a value read its operand instead. The value itself stays, without uses. */
function without(chip: Graph, value: Value): Graph {
  const operand = value.inputs[0] ?? 0;
  return {
    ...chip,
    values: chip.values.map(
      (v) => ({ ...v, inputs: v.inputs.map((id) => (id === value.id && v.id !== value.id ? operand : id)) }) as Value,
    ),
    outputs: chip.outputs.map((o) => (o.value === value.id ? { ...o, value: operand } : o)),
  };
}
