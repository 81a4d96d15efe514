import { ok, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { bugs } from "./bugs.mjs";
import { withBug } from "./patch.mjs";
import { simulateSeeds } from "./seed-pool.mjs";

/** Bugs of three kinds that the first schedules find. `npm run test:release` plants all. */
const planted = ["a step is committed twice", "an unreported step is dropped", "a replica is not refreshed"];

describe("bugs for the fault simulation", function () {
  this.timeout(600_000);

  for (const bug of bugs)
    it(`the text that the bug replaces occurs once in its file: ${bug.name}`, () => {
      const source = readFileSync(new URL(`../../packages/${bug.file}`, import.meta.url), "utf8");
      ok(withBug(source, bug) !== source);
    });

  it("the bugs have names of their own and at least ten kinds", () => {
    strictEqual(new Set(bugs.map(({ name }) => name)).size, bugs.length);
    ok(new Set(bugs.map(({ kind }) => kind)).size >= 10);
  });

  for (const bug of planted)
    it(`the simulation finds a planted bug within a hundred seeds: ${bug}`, async () => {
      ok(bugs.some(({ name }) => name === bug));
      let problem = "";
      await simulateSeeds({
        first: 1,
        count: 100,
        processes: 1,
        bug,
        onReport: (report) => {
          problem = report.problem ?? "";
          return problem === "";
        },
      });
      ok(problem !== "", "no seed finds it");
    });
});
