import { deepEqual, equal, match, ok } from "node:assert/strict";
import { interpret, parametersOf, regionsOf, sizeOf, type Tensor, tensor } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { stablehloFuzzTarget } from "../testing/fuzz.js";
import { goldenText } from "../testing/golden.js";
import { type ImportedStep, importStep } from "./import-step.js";

const main = (args: string, result: string, lines: string, more = ""): string =>
  `module @m {\n  func.func public @main(${args}) -> ${result} {\n${lines}\n  }\n${more}}\n`;

const stepOf = (args: string, result: string, lines: string, more = ""): ImportedStep =>
  importStep(main(args, result, lines, more), "t.mlir");

function run(step: ImportedStep, ...arrays: readonly (readonly number[])[]): number[] {
  const inputs = new Map(
    step.arguments.map(({ name, type }, i): [string, Tensor] => [name, tensor(type.dtype, type.dims, Float64Array.from(arrays[i] ?? []))]),
  );
  const [output] = interpret(step.graph, inputs).values();
  return [...(output?.data ?? [])];
}

function failure(text: string, limits?: { turns: number; values: number }): LapidaryError {
  try {
    importStep(text, "t.mlir", limits);
  } catch (error) {
    if (error instanceof LapidaryError) return error;
    throw error;
  }
  throw new Error("the text was converted");
}

const opsOf = (step: ImportedStep): string[] => step.graph.values.map(({ op }) => op);

describe("conversion of a StableHLO step", () => {
  it("returns a step or a LapidaryError for any text", () => fc.assert(stablehloFuzzTarget.property, { numRuns: 300 }));

  it("unrolls a loop with a constant number of turns, and removes its counter", () => {
    const step = stepOf(
      "%arg0: tensor<4x2xf32>",
      "tensor<2xf32>",
      `    %c = stablehlo.constant dense<0> : tensor<i32>
    %z = stablehlo.constant dense<0.0> : tensor<2xf32>
    %0:2 = stablehlo.while(%i = %c, %s = %z) : tensor<i32>, tensor<2xf32>
    cond {
      %n = stablehlo.constant dense<4> : tensor<i32>
      %t = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %t : tensor<i1>
    } do {
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %row = stablehlo.dynamic_slice %arg0, %i, %zero, sizes = [1, 2] : (tensor<4x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
      %flat = stablehlo.reshape %row : (tensor<1x2xf32>) -> tensor<2xf32>
      %two = stablehlo.add %s, %s : tensor<2xf32>
      %next = stablehlo.add %two, %flat : tensor<2xf32>
      %one = stablehlo.constant dense<1> : tensor<i32>
      %j = stablehlo.add %i, %one : tensor<i32>
      stablehlo.return %j, %next : tensor<i32>, tensor<2xf32>
    }
    return %0#1 : tensor<2xf32>`,
    );
    deepEqual(run(step, [1, 2, 3, 4, 5, 6, 7, 8]), [8 + 12 + 10 + 7, 16 + 16 + 12 + 8]);
    ok(step.graph.values.every(({ type }) => type.dtype !== "i32"));
  });

  /** A loop of `turns` turns that adds rows to a sum and keeps a trace of it. `%scale` is an argument that no turn changes. */
  const longLoop = (turns: number, bound = `stablehlo.constant dense<${turns}> : tensor<i32>`): string =>
    main(
      "%arg0: tensor<4x2xf32>, %arg1: tensor<2xf32>",
      "(tensor<2xf32>, tensor<4x2xf32>, tensor<i32>)",
      `    %c = stablehlo.constant dense<0> : tensor<i32>
    %z = stablehlo.constant dense<0.0> : tensor<2xf32>
    %t0 = stablehlo.constant dense<0.0> : tensor<4x2xf32>
    %0:4 = stablehlo.while(%i = %c, %s = %z, %trace = %t0, %scale = %arg1) : tensor<i32>, tensor<2xf32>, tensor<4x2xf32>, tensor<2xf32>
    cond {
      %n = ${bound}
      %t = stablehlo.compare LT, %i, %n, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %t : tensor<i1>
    } do {
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %four = stablehlo.constant dense<4> : tensor<i32>
      %at = stablehlo.remainder %i, %four : tensor<i32>
      %row = stablehlo.dynamic_slice %arg0, %at, %zero, sizes = [1, 2] : (tensor<4x2xf32>, tensor<i32>, tensor<i32>) -> tensor<1x2xf32>
      %flat = stablehlo.reshape %row : (tensor<1x2xf32>) -> tensor<2xf32>
      %half = stablehlo.multiply %s, %scale : tensor<2xf32>
      %next = stablehlo.add %half, %flat : tensor<2xf32>
      %line = stablehlo.reshape %next : (tensor<2xf32>) -> tensor<1x2xf32>
      %kept = stablehlo.dynamic_update_slice %trace, %line, %at, %zero : (tensor<4x2xf32>, tensor<1x2xf32>, tensor<i32>, tensor<i32>) -> tensor<4x2xf32>
      %one = stablehlo.constant dense<1> : tensor<i32>
      %j = stablehlo.add %i, %one : tensor<i32>
      stablehlo.return %j, %next, %kept, %scale : tensor<i32>, tensor<2xf32>, tensor<4x2xf32>, tensor<2xf32>
    }
    return %0#1, %0#2, %0#0 : tensor<2xf32>, tensor<4x2xf32>, tensor<i32>`,
    );

  it("converts a loop of more turns than are unrolled to a region with the same results", () => {
    for (const turns of [9, 30]) {
      const unrolled = importStep(longLoop(turns), "t.mlir");
      const repeated = importStep(longLoop(turns), "t.mlir", { turns: 8, values: 1000 });
      deepEqual(regionsOf(unrolled.graph), []);
      deepEqual(
        regionsOf(repeated.graph).map(({ count, carries }) => [count, carries.length]),
        [[turns, 3]],
      );
      const inputs = new Map(
        parametersOf(repeated.graph).map(({ attrs, type }) => [
          attrs.name,
          tensor(
            "f32",
            type.dims,
            Float64Array.from({ length: sizeOf(type.dims) }, (_, i) => (i + 1) / 8),
          ),
        ]),
      );
      const [want, got] = [unrolled, repeated].map(({ graph }) => [...interpret(graph, inputs).values()].map(({ data }) => [...data]));
      deepEqual(got, want);
    }
  });

  it("a region has as many values for any number of turns", () => {
    const values = [2000, 1_000_000].map((turns) => importStep(longLoop(turns), "t.mlir").graph.values.length);
    equal(values[0], values[1]);
  });

  it("refuses a long loop inside a long loop, and a long loop whose number of turns depends on data", () => {
    const bound = "stablehlo.convert %q : (tensor<f32>) -> tensor<i32>";
    const text = longLoop(0, bound).replace(
      "    %c = ",
      "    %q = stablehlo.slice %arg1 [0:1] : (tensor<2xf32>) -> tensor<1xf32>\n    %c = ",
    );
    match(
      failure(
        text.replaceAll("%q :", "%q2 :").replace("    %c = ", "    %q2 = stablehlo.reshape %q : (tensor<1xf32>) -> tensor<f32>\n    %c = "),
      ).message,
      /depends on data/,
    );
    const nested = longLoop(20).replace(
      "      %one = ",
      `      %k:1 = stablehlo.while(%m = %zero) : tensor<i32>
      cond {
        %o = stablehlo.constant dense<20> : tensor<i32>
        %u = stablehlo.compare LT, %m, %o, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %u : tensor<i1>
      } do {
        %p = stablehlo.constant dense<1> : tensor<i32>
        %r = stablehlo.add %m, %p : tensor<i32>
        stablehlo.return %r : tensor<i32>
      }
      %one = `,
    );
    match(failure(nested, { turns: 8, values: 1000 }).message, /more than 8 turns, and so has a loop around it/);
  });

  it("joins an array that a loop fills piece by piece with one concatenation", () => {
    const step = stepOf(
      "%arg0: tensor<3xf32>",
      "tensor<5x3xf32>",
      `    %c = stablehlo.constant dense<0> : tensor<i32>
    %z = stablehlo.constant dense<0.0> : tensor<5x3xf32>
    %0:3 = stablehlo.while(%i = %c, %all = %z, %x = %arg0) : tensor<i32>, tensor<5x3xf32>, tensor<3xf32>
    cond {
      %n = stablehlo.constant dense<5> : tensor<i32>
      %t = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %t : tensor<i1>
    } do {
      %zero = stablehlo.constant dense<0> : tensor<i32>
      %y = stablehlo.add %x, %x : tensor<3xf32>
      %row = stablehlo.reshape %y : (tensor<3xf32>) -> tensor<1x3xf32>
      %more = stablehlo.dynamic_update_slice %all, %row, %i, %zero : (tensor<5x3xf32>, tensor<1x3xf32>, tensor<i32>, tensor<i32>) -> tensor<5x3xf32>
      %one = stablehlo.constant dense<1> : tensor<i32>
      %j = stablehlo.add %i, %one : tensor<i32>
      stablehlo.return %j, %more, %y : tensor<i32>, tensor<5x3xf32>, tensor<3xf32>
    }
    return %0#1 : tensor<5x3xf32>`,
    );
    equal(opsOf(step).filter((op) => op === "concatenate").length, 1);
    deepEqual(run(step, [1, 2, 3]).slice(9), [16, 32, 48, 32, 64, 96]);
  });

  it("clamps the start of a slice and the index of a gather", () => {
    const slice = stepOf(
      "%arg0: tensor<4xf32>, %arg1: tensor<i32>",
      "tensor<2xf32>",
      `    %0 = stablehlo.dynamic_slice %arg0, %arg1, sizes = [2] : (tensor<4xf32>, tensor<i32>) -> tensor<2xf32>
    return %0 : tensor<2xf32>`,
    );
    deepEqual(run(slice, [1, 2, 3, 4], [9]), [3, 4]);
    const gather = stepOf(
      "%arg0: tensor<4x2xf32>, %arg1: tensor<3x1xi32>",
      "tensor<3x2xf32>",
      `    %0 = "stablehlo.gather"(%arg0, %arg1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 2>}> : (tensor<4x2xf32>, tensor<3x1xi32>) -> tensor<3x2xf32>
    return %0 : tensor<3x2xf32>`,
    );
    deepEqual(run(gather, [1, 2, 3, 4, 5, 6, 7, 8], [-3, 1, 99]), [1, 2, 3, 4, 7, 8]);
  });

  it("wraps integers at 32 bits, and divides them towards zero", () => {
    const step = stepOf(
      "%arg0: tensor<2xi32>, %arg1: tensor<2xi32>",
      "tensor<2xi32>",
      `    %0 = stablehlo.multiply %arg0, %arg0 : tensor<2xi32>
    %1 = stablehlo.divide %arg0, %arg1 : tensor<2xi32>
    %2 = stablehlo.add %0, %1 : tensor<2xi32>
    return %2 : tensor<2xi32>`,
    );
    deepEqual(run(step, [123456789, -7], [2, 2]), [(Math.imul(123456789, 123456789) + 61728394) | 0, 49 - 3]);
  });

  it("computes a convolution with groups, strides and both dilations like the sum over its window", () => {
    const step = stepOf(
      "%arg0: tensor<1x7x4xf32>, %arg1: tensor<2x2x6xf32>",
      "tensor<1x6x6xf32>",
      `    %0 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, 0, f]x[0, i, o]->[b, 0, f], window = {stride = [2], pad = [[1, 1]], lhs_dilate = [2], rhs_dilate = [3], reverse = [false]} {batch_group_count = 1 : i64, feature_group_count = 2 : i64} : (tensor<1x7x4xf32>, tensor<2x2x6xf32>) -> tensor<1x6x6xf32>
    return %0 : tensor<1x6x6xf32>`,
    );
    const x = Array.from({ length: 28 }, (_, i) => Math.sin(i));
    const w = Array.from({ length: 24 }, (_, i) => Math.cos(3 * i));
    const want: number[] = [];
    for (let o = 0; o < 6; o++)
      for (let f = 0; f < 6; f++) {
        let sum = 0;
        for (let k = 0; k < 2; k++)
          for (let c = 0; c < 2; c++) {
            const at = 2 * o + 3 * k - 1;
            if (at >= 0 && at % 2 === 0 && at / 2 < 7)
              sum += (x[(at / 2) * 4 + Math.floor(f / 3) * 2 + c] ?? 0) * (w[k * 12 + c * 6 + f] ?? 0);
          }
        want.push(sum);
      }
    run(step, x, w).forEach((y, i) => ok(Math.abs(y - (want[i] ?? 0)) < 1e-12, `${i}: ${y} ${want[i]}`));
  });

  it("names arguments by the leaves of the user's program, and knows which are state", () => {
    const { arguments: args, results } = importStep(goldenText("gpt_adamw/step.loc.mlir"), "gpt");
    const of = (role: string): number => args.filter((argument) => argument.role === role).length;
    deepEqual([of("param"), of("optimizer"), of("batch")], [19, 39, 1]);
    ok(args.some(({ name, leaf }) => name === "state.v.blocks.0.bias2" && leaf === "state['v']['blocks'][0]['bias2']"));
    equal(results.filter(({ renews }) => renews !== undefined).length, 58);
  });

  it("an argument does not have the name of an op, so that its sharding is that of no other value", () => {
    const step = stepOf("%pad: tensor<3xf32>", "tensor<3xf32>", "    return %pad : tensor<3xf32>");
    deepEqual(
      step.arguments.map(({ name, leaf }) => [name, leaf]),
      [["pad_2", "pad"]],
    );
  });

  it("a weight called v is a param, and the moments of an optimizer are not", () => {
    const roleOf = (leaf: string): string | undefined =>
      importStep(
        `module @m {\n  func.func public @main(%arg0: tensor<2xf32> {tf.aliasing_output = 0 : i32} loc("${leaf}")) -> tensor<2xf32> {\n    return %arg0 : tensor<2xf32>\n  }\n}\n`,
        "t.mlir",
      ).arguments[0]?.role;
    for (const leaf of ["state['params']['layers']['v']", "params['v']", "state[0]['layers']['m']"]) equal(roleOf(leaf), "param", leaf);
    for (const leaf of ["state['v']['layers']['v']", "state[1][0].mu['w']", "state['opt'].inner['params']", "state['m']"])
      equal(roleOf(leaf), "optimizer", leaf);
  });

  it("leaves out the rounding of an f32 value to bf16 and back in one pass and one turn, as XLA does", () => {
    const rounded = (type: string): ImportedStep =>
      stepOf(
        `%arg0: tensor<2x${type}>`,
        "tensor<2xf32>",
        `    %0 = stablehlo.convert %arg0 : (tensor<2x${type}>) -> tensor<2xbf16>
    %1 = stablehlo.convert %0 : (tensor<2xbf16>) -> tensor<2xf32>
    %2 = stablehlo.negate %1 : tensor<2xf32>
    return %2 : tensor<2xf32>`,
      );
    const operandOfNegate = ({ graph }: ImportedStep): string | undefined =>
      graph.values[graph.values.find(({ op }) => op === "negate")?.inputs[0] ?? -1]?.op;
    equal(operandOfNegate(rounded("f32")), "parameter");
    equal(operandOfNegate(rounded("i32")), "convert");
    const { graph } = importStep(goldenText("maxtext_tp256/step.loc.mlir"), "maxtext");
    ok(graph.values.some(({ op, type }) => op === "convert" && type.dtype === "bf16"));
  });

  it("gives values the passes and the source lines of their locations", () => {
    const { graph } = importStep(goldenText("gpt_scan_remat/step.loc.mlir"), "gpt");
    const products = graph.values.filter(({ op }) => op === "dot_general");
    deepEqual(new Set(products.map(({ scope }) => scope.phase)), new Set(["forward", "backward", "recompute"]));
    ok(new Set(products.map(({ scope }) => scope.block)).size > 2);
    ok(products.every(({ scope }) => /^make_stablehlo\.py:\d+$/.test(scope.line ?? "")));
  });

  it("converts the short and the located text of one step to the same operations", () => {
    const [short, located] = ["step.mlir", "step.loc.mlir"].map((file) => importStep(goldenText(`gpt_scan_remat/${file}`), file).graph);
    // Splat constants are shared within a pass, and only locations tell the passes apart.
    const outline = (graph: typeof short): string[] =>
      (graph?.values ?? []).filter(({ op }) => op !== "constant").map(({ op, type }) => `${op} ${JSON.stringify(type)}`);
    deepEqual(outline(short).sort(), outline(located).sort());
    equal(parametersOf(short ?? { name: "", level: "global", values: [], outputs: [] }).length, 36);
  });

  it("reports all operations that it cannot convert at once, with counts and lines", () => {
    const error = failure(
      main(
        "%arg0: tensor<4x4xf32>",
        "tensor<4x4xf32>",
        `    %0 = stablehlo.cholesky %arg0, lower = true : tensor<4x4xf32>
    %1 = stablehlo.cholesky %0, lower = true : tensor<4x4xf32>
    %2 = stablehlo.custom_call @lapack(%1) : (tensor<4x4xf32>) -> tensor<4x4xf32> loc("f"("solve.py":7:1))
    return %2 : tensor<4x4xf32>`,
      ),
    );
    equal(error.code, "LAP_IMPORT_OP");
    match(error.message, /3 operations .*cholesky.*2 times, first at line 3.*@lapack.*once, first at line 5, from solve\.py:7/);
  });

  it("refuses a loop whose number of turns depends on data, and calls without end", () => {
    const loop = failure(
      main(
        "%arg0: tensor<i32>",
        "tensor<i32>",
        `    %0 = stablehlo.while(%i = %arg0) : tensor<i32>
    cond {
      %n = stablehlo.constant dense<4> : tensor<i32>
      %t = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %t : tensor<i1>
    } do {
      %j = stablehlo.add %i, %i : tensor<i32>
      stablehlo.return %j : tensor<i32>
    }
    return %0 : tensor<i32>`,
      ),
    );
    match(loop.message, /number of its turns depends on data/);
    match(
      failure(
        main("%arg0: tensor<f32>", "tensor<f32>", "    %0 = call @main(%arg0) : (tensor<f32>) -> tensor<f32>\n    return %0 : tensor<f32>"),
      ).message,
      /without end/,
    );
  });

  it("refuses functions that call one another so often that the graph does not fit", () => {
    const level = (i: number): string =>
      `  func.func private @f${i}(%arg0: tensor<f32>) -> tensor<f32> {\n    %0 = call @f${i + 1}(%arg0) : (tensor<f32>) -> tensor<f32>\n    %1 = call @f${i + 1}(%0) : (tensor<f32>) -> tensor<f32>\n    return %1 : tensor<f32>\n  }\n`;
    const last = "  func.func private @f40(%arg0: tensor<f32>) -> tensor<f32> {\n    return %arg0 : tensor<f32>\n  }\n";
    const functions = Array.from({ length: 40 }, (_, i) => level(i)).join("") + last;
    const text = main(
      "%arg0: tensor<f32>",
      "tensor<f32>",
      "    %0 = call @f0(%arg0) : (tensor<f32>) -> tensor<f32>\n    return %0 : tensor<f32>",
      functions,
    );
    equal(failure(text, { turns: 10, values: 1000 }).code, "LAP_IMPORT_SIZE");
  });

  it("refuses literals and shapes that do not fit their type", () => {
    const constant = (text: string, type: string): string =>
      main("", type, `    %0 = stablehlo.constant dense<${text}> : ${type}\n    return %0 : ${type}`);
    match(failure(constant("[1.0, 2.0]", "tensor<3xf32>")).message, /2 elements, and its type 3/);
    match(failure(constant('"0x0000"', "tensor<4xf32>")).message, /elements/);
    match(
      failure(
        main(
          "%arg0: tensor<4xf32>",
          "tensor<3xf32>",
          "    %0 = stablehlo.reshape %arg0 : (tensor<4xf32>) -> tensor<3xf32>\n    return %0 : tensor<3xf32>",
        ),
      ).message,
      /4 elements, and its result 3/,
    );
  });
});
