import { ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { makeMesh } from "@lapidary/topology";
import { type Graph, type Value, parseGraph, printGraph } from "@lapidary/ir";
import { compile } from "../compile.js";
import { randomCase } from "../testing/random-graph.js";
import { exampleStep } from "../testing/worked-example.js";
import { checkProgram } from "./check.js";

/** A well-typed program: a product over a split dim, its reduction, and something that is not linear. */
const good = `graph p chip mesh data=2 model=4
%0 = parameter name="x" : f32[4,4] [data, model] @x
%1 = parameter name="w" : f32[8,4] [-, model] @w
%2 = dot_general %0 %1 batch=[] contracting=[[1,1]] : f32[4,8] [data, -] unreduced model @y
%3 = all_reduce %2 axes=["model"] size=4 kind="sum" : f32[4,8] [data, -] @y
%4 = exponential %3 : f32[4,8] [data, -] @e
%5 = all_gather %4 dimension=0 axes=["data"] size=2 : f32[8,8] [-, -] @e
return e=%5`;

/** Replaces a line of the good program; the checker must refuse it and name that line (or the one where it shows). */
function refuses(from: string, to: string, line: number, says: RegExp): void {
  ok(good.includes(from), from);
  const bad = parseGraph(good.replace(from, to));
  throws(
    () => checkProgram(bad),
    (error: unknown) => error instanceof Error && error.message.includes(`line ${line}`) && says.test(error.message),
  );
}

describe("the checker of per-chip programs", () => {
  it("accepts a well-typed program", () => checkProgram(parseGraph(good)));

  it("refuses partial sums that meet an op which is not linear in them", () => {
    refuses("exponential %3 : f32[4,8] [data, -]", "exponential %2 : f32[4,8] [data, -] unreduced model", 6, /not linear/);
  });

  it("refuses a result that hides its partial sums", () => {
    refuses("[data, -] unreduced model @y", "[data, -] @y", 4, /unreduced model/);
  });

  it("refuses operands that split one factor differently", () => {
    refuses("f32[8,4] [-, model] @w", "f32[8,4] [-, -] @w", 4, /differently/);
  });

  it("refuses a reduction over an axis that holds no partial sums, and of another kind", () => {
    refuses('all_reduce %2 axes=["model"] size=4 kind="sum"', 'all_reduce %2 axes=["data"] size=2 kind="sum"', 5, /unreduced/);
    refuses('all_reduce %2 axes=["model"] size=4 kind="sum"', 'all_reduce %2 axes=["model"] size=4 kind="max"', 5, /kind/);
  });

  it("refuses a gather of axes that do not split the dim", () => {
    refuses(
      'all_gather %4 dimension=0 axes=["data"] size=2 : f32[8,8]',
      'all_gather %4 dimension=1 axes=["data"] size=2 : f32[4,16]',
      7,
      /minor end/,
    );
  });

  it("refuses one axis on two dims", () => {
    throws(() => checkProgram(parseGraph(good.replace("[data, model] @x", "[model, model] @x"))), /twice/);
  });

  it("refuses every program in which a reduction is left out", () => {
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

  it("checks the text of a program as it checks the program", () => {
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

/** The program with a value's uses going to its operand instead; the value itself stays, unused. */
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
