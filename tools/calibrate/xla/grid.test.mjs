import { deepStrictEqual, ok } from "node:assert/strict";
import { compareRow, errorOf, readResults, table } from "./compare.mjs";
import { compareKernels, medians } from "./kernel-times.mjs";
import { readKernels } from "./kernels.mjs";
import { exportedMemoryError } from "@lapidary/simulator";
import { grid } from "./grid.mjs";

/** Errors of the plan's peak, relative to the TPU compiler, that the grid may have. */
const largest = exportedMemoryError;
const mean = 0.04;

describe("the memory model and Google's TPU compiler", () => {
  const results = readResults();
  const compared = grid.map((row) => compareRow(row, results));

  it("the compiler has a result for every row of the grid, and for no other", () => {
    deepStrictEqual(Object.keys(results.rows).sort(), grid.map(({ name }) => name).sort());
  });

  for (const each of compared)
    it(`${each.row.name}: the peak of the plan is within 10 % of that of the compiler`, () => {
      const changed =
        each.xla?.program === each.program
          ? ""
          : ". The program has changed since it was compiled: run `npm run calibrate -- --xla --compile`";
      ok(Math.abs(errorOf(each)) <= largest, `${each.plan} of ${each.xla?.peak} bytes${changed}`);
    });

  it("at least 24 rows are compared, and at least 10 of them only checked the rules", () => {
    ok(grid.length >= 24);
    ok(grid.filter(({ use }) => use === "checked").length >= 10);
  });

  it("the mean error is at most 4 %", () => {
    ok(compared.reduce((sum, each) => sum + Math.abs(errorOf(each)), 0) / compared.length <= mean, table(compared));
  });

  it("the plan never says that a step fits if the compiler says that it does not", () => {
    ok(compared.some(({ xla }) => xla?.fits === false));
    deepStrictEqual(
      compared.filter(({ planFits, xla }) => planFits && xla?.fits === false).map(({ row }) => row.name),
      [],
    );
  });

  it("the median time of kernels of each class is within 10 % of the estimates of the compiler", () => {
    const found = medians(compared.flatMap(({ kernels }) => kernels));
    ok(found.size === 3);
    for (const [name, median] of found) ok(median >= 0.9 && median <= 1.1, `${name}: ${median}`);
  });
});

describe("the kernels of the TPU compiler", () => {
  const kernel = (/** @type {string} */ name, /** @type {string} */ calls, /** @type {number} */ id, /** @type {number} */ cycles) =>
    `  %${name} = f32[8]{0} fusion(%p), kind=kLoop, calls=%${calls}, metadata={op_name="x#${id}"}, backend_config={"estimated_cycles":"${cycles}"}`;
  const hlo = [
    "%product (p: f32[8]) -> (f32[8], f32[8]) {",
    '  %sum = f32[] reduce(%p), metadata={op_name="squares#4"}',
    '  %dot = f32[8]{0} convolution(%p), metadata={op_name="mlp.up#3"}',
    "  ROOT %both = (f32[8], f32[]) tuple(%dot, %sum)",
    "}",
    "%inner (p: f32[8]) -> f32[] {",
    "  ROOT %sum = f32[] reduce(%p)",
    "}",
    "%total (p: f32[8]) -> f32[] {",
    "  ROOT %call = f32[] fusion(%p), kind=kLoop, calls=%inner",
    "}",
    "%loop (p: f32[8]) -> f32[8] {",
    "  ROOT %add = f32[8]{0} add(%p, %p)",
    "}",
    "ENTRY %main (p: f32[8]) -> f32[8] {",
    kernel("a", "product", 3, 40_000),
    kernel("b", "total", 6, 30_000),
    kernel("c", "loop", 7, 20_000),
    kernel("d", "loop", 8, 1_800),
    "}",
  ].join("\n");

  it("a kernel has the class of its most expensive op and all values that it writes; kernels without work are left out", () => {
    deepStrictEqual(readKernels(hlo), [
      { class: "product", values: [3, 4], cycles: 40_000 },
      { class: "reduction", values: [6], cycles: 30_000 },
      { class: "loop", values: [7], cycles: 20_000 },
    ]);
  });

  it("kernels that write the same values are compared as one group, a kernel without a counterpart with none", () => {
    const ours = [3, 4, 6].map((at) => ({ at, seconds: 1 }));
    const writtenAt = new Map([3, 4, 6].map((at) => [at, at]));
    deepStrictEqual(compareKernels(readKernels(hlo), ours, writtenAt, 20_000), [
      { class: "product", ratio: 1 },
      { class: "reduction", ratio: 20 / 30 },
    ]);
  });
});
