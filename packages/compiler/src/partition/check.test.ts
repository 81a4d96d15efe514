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

  /** A program of collectives on sub-axes of one mesh. */
  const collectives = `graph c chip mesh data=2 model=4
%0 = parameter name="x" : f32[4,8] [data, -] @x
%1 = shard_slice %0 dimension=1 axes=["model"] size=4 : f32[4,2] [data, model] @x
%2 = all_to_all %1 splitDimension=0 concatDimension=1 axes=["model"] size=4 : f32[1,8] [data+model, -] @x
%3 = reduce %1 dims=[0] kind="max" : f32[2] [model] unreduced-max data @m
%4 = reduce_scatter %3 dimension=0 axes=["data"] size=2 kind="max" : f32[1] [model+data] @m
%5 = slice %0 start=[0,1] limit=[4,3] : f32[4,2] [data, -] @s
%6 = reshape %0 dims=[4,4,2] : f32[4,4,2] [data, -, -] @r
%7 = reduce %1 dims=[0] kind="sum" : f32[2] [model] unreduced data @t
%8 = add %7 %7 : f32[2] [model] unreduced data @t
%9 = constant value=0 dims=[2] dtype="f32" : f32[2] [model] @z
%10 = all_reduce %8 axes=["data"] size=2 kind="sum" : f32[2] [model] @t
%11 = shard_slice %0 dimension=1 axes=["model:(1)2"] size=2 : f32[4,4] [data, model:(1)2] @x
%12 = reshape %11 dims=[4,2,2] : f32[4,2,2] [data, model:(1)2, -] @r
return m=%4 t=%10`;
  /** Replaces the line `%id = …` from its op on. */
  function rejectsLine(id: number, line: string, message: RegExp): void {
    const from = collectives.split("\n")[id + 1] ?? "";
    const at = from.indexOf("=") + 2;
    ok(from.startsWith(`%${id} `) && from.slice(at) !== line);
    const bad = parseGraph(collectives.replace(from, from.slice(0, at) + line));
    throws(
      () => checkProgram(bad),
      (error: unknown) =>
        error instanceof Error && error.message.includes(`ill-typed line ${id + 2}: %${id} = `) && message.test(error.message),
      line,
    );
  }

  it("the checker accepts slices, moves, partial maxima and sums", () => checkProgram(parseGraph(collectives)));

  it("the checker rejects a collective whose result has another sharding than its attributes say", () => {
    rejectsLine(1, 'shard_slice %0 dimension=1 axes=["model"] size=4 : f32[4,2] [data, -] @x', /\[data, model\]/);
    rejectsLine(1, 'shard_slice %0 dimension=1 axes=["model"] size=4 : f32[4,2] [model, data] @x', /\[data, model\]/);
    rejectsLine(
      2,
      'all_to_all %1 splitDimension=0 concatDimension=1 axes=["model"] size=4 : f32[1,8] [data, model] @x',
      /\[data\+model, -\]/,
    );
    rejectsLine(4, 'reduce_scatter %3 dimension=0 axes=["data"] size=2 kind="max" : f32[1] [data+model] @m', /\[model\+data\]/);
    rejectsLine(10, 'all_reduce %8 axes=["data"] size=2 kind="sum" : f32[2] [data] @t', /\[model\]/);
  });

  it("the checker rejects a collective that drops, keeps or invents partial sums", () => {
    rejectsLine(4, 'reduce_scatter %3 dimension=0 axes=["data"] size=2 kind="sum" : f32[1] [model+data] @m', /kind of reduction/);
    rejectsLine(
      4,
      'reduce_scatter %1 dimension=0 axes=["data"] size=2 kind="sum" : f32[2,2] [data, model] @m',
      /minor|sharding|unreduced|twice/,
    );
    rejectsLine(10, 'all_reduce %8 axes=["data"] size=2 kind="sum" : f32[2] [model] unreduced data @t', /reduced over the axes/);
    rejectsLine(10, 'all_reduce %9 axes=["data"] size=2 kind="sum" : f32[2] [model] @t', /operand is unreduced/);
    rejectsLine(10, 'all_gather %8 dimension=0 axes=["model"] size=4 : f32[8] [-] @t', /does not change partial sums/);
    rejectsLine(10, 'shard_slice %8 dimension=0 axes=["data"] size=2 : f32[1] [model+data] @t', /twice|not unreduced/);
    rejectsLine(9, 'constant value=0 dims=[2] dtype="f32" : f32[2] [model] unreduced data @z', /without operands/);
  });

  it("the checker rejects a local op that splits a dim it needs whole, or a minor part of a dim", () => {
    rejectsLine(5, "slice %1 start=[0,1] limit=[4,2] : f32[4,1] [data, model] @s", /must be whole/);
    rejectsLine(12, "reshape %11 dims=[4,2,2] : f32[4,2,2] [data, -, model:(1)2] @r", /differently|not fully split/);
    rejectsLine(8, "add %7 %7 : f32[2] [model] @t", /unreduced data/);
    rejectsLine(8, "multiply %7 %7 : f32[2] [model] unreduced data @t", /not linear/);
    rejectsLine(8, "add %3 %3 : f32[2] [model] unreduced data @t", /not partial maxima/);
    rejectsLine(7, 'reduce %1 dims=[0] kind="max" : f32[2] [model] unreduced data @t', /kind of reduction/);
  });

  it("a zero is a partial sum over any axes, and another constant is not", () => {
    const sum = (value: number): string =>
      collectives
        .replace("constant value=0", `constant value=${value}`)
        .replace(/(%10 = .*)\n(%11 = .*)\n(%12 = .*)/, "%10 = add %7 %9 : f32[2] [model] unreduced data @t\n$2\n$3")
        .replace("t=%10", "m2=%4");
    checkProgram(parseGraph(sum(0)));
    throws(() => checkProgram(parseGraph(sum(1))), /not linear/);
  });

  it("the checker rejects an output with partial sums, and a graph that is not the program of a chip", () => {
    throws(() => checkProgram(parseGraph(collectives.replace("t=%10", "t=%8"))), /line 15: the output t has partial sums/);
    throws(() => checkProgram(parseGraph(good.replace("p chip", "p host"))), /per-chip program/);
    throws(() => checkProgram(parseGraph("graph p chip\nreturn ")), /per-chip program/);
  });

  it("the checker rejects every program with a missing reduction", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        const { graph, mesh, shardings } = randomCase(seed);
        const { chip } = compile(graph, { mesh, rules: {}, zero: { stage: 0, axes: [] }, constraints: shardings });
        for (const reduction of chip.values.filter((v) => v.op === "all_reduce" || v.op === "reduce_scatter"))
          throws(() => checkProgram(without(chip, reduction)), `seed ${seed}`);
      }),
      { numRuns: Math.min(100, Number(process.env["LAPIDARY_PROPERTY_RUNS"] ?? 100)) },
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
