import { deepEqual, match, throws } from "node:assert/strict";
import { interpret, tensor } from "@lapidary/ir";
import { LapidaryError } from "@lapidary/std";
import { checkExported, exportedValues } from "../testing/exported.js";
import { goldenText } from "../testing/golden.js";
import { importStep } from "./import-step.js";

describe("sorts", () => {
  for (const [name, values] of Object.entries(exportedValues("sorts")))
    it(`${name}: equal keys keep their order, as in JAX`, () => checkExported(`sorts/${name}.mlir`, values));

  it("long dims are sorted like short ones: by the comparator of the text, and stable", () => {
    const [rows, n] = [2, 100];
    const text = `module @m {
  func.func public @main(%arg0: tensor<${rows}x${n}xi32>, %arg1: tensor<${rows}x${n}xi32>) -> tensor<${rows}x${n}xi32> {
    %0:2 = "stablehlo.sort"(%arg0, %arg1) <{dimension = 1 : i64, is_stable = true}> ({
    ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
      %1 = stablehlo.compare GT, %a, %b, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
    }) : (tensor<${rows}x${n}xi32>, tensor<${rows}x${n}xi32>) -> (tensor<${rows}x${n}xi32>, tensor<${rows}x${n}xi32>)
    return %0#1 : tensor<${rows}x${n}xi32>
  }
}
`;
    const step = importStep(text, "t.mlir");
    const keys = Array.from({ length: rows * n }, (_, i) => (i * 37) % 11);
    const positions = keys.map((_, i) => i % n);
    const inputs = new Map(
      [keys, positions].map((data, i) => [step.arguments[i]?.name ?? "", tensor("i32", [rows, n], Float64Array.from(data))]),
    );
    const got = [...(interpret(step.graph, inputs).values().next().value?.data ?? [])];
    const want = Array.from({ length: rows }, (_, row) => {
      const own = keys.slice(row * n, (row + 1) * n);
      return own.map((key, i) => ({ key, i })).sort((a, b) => b.key - a.key || a.i - b.i);
    });
    deepEqual(
      got,
      want.flat().map(({ i }) => i),
    );
  });

  it("a comparator with an operation that is not elementwise is refused", () => {
    const text = goldenText("sorts/sortval.mlir").replace(/stablehlo\.compare\s+LT, (%\w+), (%\w+),\s+TOTALORDER/, "stablehlo.dot $1, $2");
    throws(
      () => importStep(text, "t.mlir"),
      (error: unknown) => {
        match(error instanceof LapidaryError ? `${error.code} ${error.message}` : String(error), /LAP_IMPORT_/);
        return true;
      },
    );
  });
});
