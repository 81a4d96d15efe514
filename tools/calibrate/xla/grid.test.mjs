import { deepStrictEqual, ok } from "node:assert/strict";
import { compareRow, errorOf, readResults, table } from "./compare.mjs";
import { grid } from "./grid.mjs";

/** Errors of the plan's peak, relative to the TPU compiler, that the grid may have. */
const largest = 0.12;
const mean = 0.04;

describe("the memory model and Google's TPU compiler", () => {
  const results = readResults();
  const compared = grid.map((row) => compareRow(row, results));

  it("the compiler has a result for every row of the grid, and for no other", () => {
    deepStrictEqual(Object.keys(results.rows).sort(), grid.map(({ name }) => name).sort());
  });

  for (const each of compared)
    it(`${each.row.name}: the peak of the plan is within 12 % of that of the compiler`, () => {
      const changed =
        each.xla?.program === each.program
          ? ""
          : ". The program has changed since it was compiled: run `npm run calibrate -- --xla --compile`";
      ok(Math.abs(errorOf(each)) <= largest, `${each.plan} of ${each.xla?.peak} bytes${changed}`);
    });

  it("the mean error of the grid is at most 4 %", () => {
    ok(compared.reduce((sum, each) => sum + Math.abs(errorOf(each)), 0) / compared.length <= mean, table(compared));
  });

  it("the plan never says that a step fits if the compiler says that it does not", () => {
    ok(compared.some(({ xla }) => xla?.fits === false));
    deepStrictEqual(
      compared.filter(({ planFits, xla }) => planFits && xla?.fits === false).map(({ row }) => row.name),
      [],
    );
  });
});
