import { deepEqual, equal, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import { goldenText, goldenTexts } from "../testing/golden.js";
import { parseModule } from "./parse.js";
import { printModule } from "./print.js";
import type { Operation, SourceModule } from "./syntax.js";

/** A module without what a text may leave open: positions and labels of blocks. */
const comparable = (module: SourceModule): unknown =>
  JSON.parse(
    JSON.stringify({ ...module, file: "" }, (key, value: unknown) => {
      if (key === "line" || key === "column" || key === "label") return undefined;
      if (value instanceof Map) return Object.fromEntries(value);
      return value;
    }),
  );

/** Names and types of all operations, in order, functions sorted by name. */
function outline(operation: Operation): string[] {
  const line = `${operation.name} ${JSON.stringify(operation.operandTypes)} ${JSON.stringify(operation.resultTypes)}`;
  return [line, ...operation.regions.flatMap(({ blocks }) => blocks.flatMap(({ operations }) => operations.flatMap(outline)))];
}

const body = (inner: string): string =>
  `func.func public @main(%arg0: tensor<4xf32>) -> tensor<4xf32> {\n${inner}\n return %arg0 : tensor<4xf32>\n}`;
const codeOf = (text: string): string => {
  try {
    parseModule(text, "t.mlir");
  } catch (error) {
    if (error instanceof LapidaryError) return `${error.code} ${error.location ?? ""}`;
    throw error;
  }
  return "none";
};

describe("stablehlo text", () => {
  for (const path of goldenTexts())
    it(`reads ${path}, and reads what it prints as an equal module`, () => {
      const module = parseModule(goldenText(path), path);
      deepEqual(comparable(parseModule(printModule(module), path)), comparable(module));
    });

  for (const version of ["0.10.2", "0.12.0.1"])
    it(`reads the short and the generic text of jax ${version} as the same operations with the same types`, () => {
      const [short, located, generic] = ["", ".loc", ".generic"].map(
        (form) => parseModule(goldenText(`forms/jax-${version}${form}.mlir`), form).operation,
      );
      const lines = (one: Operation | undefined): string[] => (one === undefined ? [] : outline(one).sort());
      deepEqual(lines(short), lines(generic));
      deepEqual(lines(located), lines(generic));
    });

  it("reports line and column of a mistake", () => {
    equal(codeOf(body("  %0 = stablehlo.add %arg0, : tensor<4xf32>")), "LAP_IMPORT_TEXT t.mlir:2:29");
    equal(codeOf(body("  %0 = stablehlo.constant dense<[1.0, 2.0 : tensor<2xf32>")), "LAP_IMPORT_TEXT t.mlir:2:32");
    equal(codeOf(body("  %0 = stablehlo.no_such_form %arg0 : tensor<4xf32>")), "LAP_IMPORT_FORM t.mlir:2:8");
    equal(codeOf(body('  %0 = "stablehlo.negate"(%arg0, %arg0) : (tensor<4xf32>) -> tensor<4xf32>')), "LAP_IMPORT_TEXT t.mlir:2:8");
    equal(codeOf(body("  %0 = stablehlo.iota dim = 0 : tensor<99999999999999999999xi32>")), "LAP_IMPORT_TEXT t.mlir:2:33");
  });

  it("refuses bytecode, and names the text form as remedy", () => {
    equal(codeOf("ML\u00efR\u0000\u0001"), "LAP_IMPORT_BYTECODE t.mlir");
  });

  it("refuses deep nesting of types, attributes, locations and regions without a stack overflow", () => {
    const deep = 100_000;
    for (const text of [
      `module attributes {a = ${"[".repeat(deep)}} {}`,
      `module attributes {a = ${"(".repeat(deep)}} {}`,
      `#loc = loc(${'"f"('.repeat(deep)}`,
      `${"module {".repeat(deep)}`,
      `module attributes {a = ${"tuple<".repeat(deep)}} {}`,
      `module attributes {a = #d<${"<".repeat(deep)}} {}`,
    ])
      throws(() => parseModule(text, "t.mlir"), { code: "LAP_IMPORT_TEXT" });
  });

  it("reads every character a constant number of times", () => {
    // The number of characters that a reader could scan twice grows with the square if brackets or strings are scanned again.
    const line = '  %0 = "stablehlo.negate"(%arg0) {a = [[[["x"]]]], b = #d<<<<"y">>>>} : (tensor<4xf32>) -> tensor<4xf32>\n';
    const module = parseModule(body(line.repeat(20_000)), "t.mlir");
    equal(module.operation.regions[0]?.blocks[0]?.operations[0]?.regions[0]?.blocks[0]?.operations.length, 20_001);
  });
});
