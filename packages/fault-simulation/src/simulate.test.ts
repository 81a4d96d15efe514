import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { firstSeed } from "@lapidary/std/testing";
import { type Bug, bugs } from "./sim-workers.js";
import { simulate, type Reported, type SimulationReport } from "./simulate.js";

describe("the fault simulation of a run", function () {
  this.timeout(60_000);

  it("a run keeps every invariant for a hundred random schedules of faults", async () => {
    const faults = new Set<string>();
    const seen = new Set<string>();
    const first = firstSeed();
    for (let seed = first; seed < first + 100; seed++) {
      const report = await simulate(seed);
      strictEqual(report.problem, undefined, `seed ${seed}: ${report.faults.join(", ")}`);
      for (const fault of report.faults) faults.add(fault);
      for (const reported of report.reported) seen.add(JSON.stringify(reported));
    }
    ok(faults.size >= 9, [...faults].join(", "));
    const expected: readonly Reported[] = [
      { type: "state_restored", source: "initialization", isSuccessor: false },
      { type: "state_restored", source: "checkpoint", isSuccessor: false },
      { type: "state_restored", source: "replica", isSuccessor: false },
      { type: "state_restored", source: "replica", isSuccessor: true },
      { type: "batch_skipped" },
      { type: "checkpoint_rejected" },
      { type: "checkpoint_failed" },
      { type: "superseded" },
    ];
    for (const reported of expected) ok(seen.has(JSON.stringify(reported)), JSON.stringify(reported));
  });

  it("the same seed gives the same simulation", async () => {
    deepStrictEqual(await simulate(7), await simulate(7));
  });

  for (const bug of bugs.filter((one) => one !== "none"))
    it(`the fault simulation finds an injected bug: ${bug}`, async () => {
      const found = await firstProblem(bug, 100);
      ok(found?.problem !== undefined, "no seed finds it");
    });
});

async function firstProblem(bug: Bug, seeds: number): Promise<SimulationReport | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await simulate(seed, bug);
    if (report.problem !== undefined) return report;
  }
  return undefined;
}
