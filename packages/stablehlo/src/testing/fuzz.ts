import { ok } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { type FuzzTarget, hostileText } from "@lapidary/std/testing";
import fc from "fast-check";
import { importStep } from "../convert/import-step.js";

const attributes = fc.constantFrom(
  "",
  " {a = 1 : i32}",
  " {b = dense<0xFF800000> : tensor<f32>}",
  ' {c = #sdy.sharding<@m, [{"x"}, {?}]>}',
);
const numbers = fc.constantFrom("0", "1.000000e+00", "0xFF800000", "[1.0, 2.0]", '"0x0000803F00000040"', "-1", "true");
const operations = fc.oneof(
  fc.tuple(numbers, attributes).map(([n, a]) => `%v = stablehlo.constant${a} dense<${n}> : tensor<2xf32>`),
  attributes.map((a) => `%v = stablehlo.add %arg0, %arg0${a} : tensor<2xf32>`),
  attributes.map((a) => `%v = "stablehlo.negate"(%arg0)${a} : (tensor<2xf32>) -> tensor<2xf32> loc(callsite("f"("g.py":1:2) at #loc))`),
  fc.constant(
    "%v = stablehlo.while(%i = %arg0) : tensor<2xf32> cond { stablehlo.return %i : tensor<2xf32> } do { stablehlo.return %i : tensor<2xf32> }",
  ),
  fc.constant("%v = stablehlo.slice %arg0 [0:2:1] : (tensor<2xf32>) -> tensor<2xf32>"),
  fc.constant(
    '%v = sdy.manual_computation(%arg0) in_shardings=[<@m, [{"x"}]>] out_shardings=[<@m, [{"x"}]>] manual_axes={"x"} (%a: tensor<1xf32>) { %b = "stablehlo.all_gather"(%a) <{all_gather_dim = 0 : i64, replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>}> : (tensor<1xf32>) -> tensor<2xf32> %c = stablehlo.slice %b [0:1:1] : (tensor<2xf32>) -> tensor<1xf32> sdy.return %c : tensor<1xf32> } : (tensor<2xf32>) -> tensor<2xf32>',
  ),
  fc.constant(
    '%v = "stablehlo.sort"(%arg0) <{dimension = 0 : i64, is_stable = true}> ({ ^bb0(%a: tensor<f32>, %b: tensor<f32>): %c = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1> stablehlo.return %c : tensor<i1> }) : (tensor<2xf32>) -> tensor<2xf32>',
  ),
  fc.constant("%v = call @main(%arg0) : (tensor<2xf32>) -> tensor<2xf32>"),
);
const texts = fc
  .array(operations, { maxLength: 3 })
  .map((lines) => lines.map((line, i) => line.replace("%v", `%v${i}`)))
  .map(
    (lines) =>
      `module @m {\n  sdy.mesh @m = <["x"=2]>\n  func.func public @main(%arg0: tensor<2xf32>) -> tensor<2xf32> {\n    ${lines.join("\n    ")}\n    return %arg0 : tensor<2xf32>\n  }\n}\n`,
  );

/** Reads and converts a text. The reader returns a step or throws a `LapidaryError`. */
function importsOrRejects(text: string): void {
  try {
    importStep(text, "fuzz.mlir");
  } catch (error) {
    ok(error instanceof LapidaryError, error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

export const stablehloFuzzTarget: FuzzTarget = {
  name: "stablehlo-text",
  property: fc.property(hostileText(texts), importsOrRejects) as fc.IRawProperty<unknown>,
};
