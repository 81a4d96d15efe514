import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { firstSeed } from "@lapidary/std/testing";
import { Coverage } from "./coverage.js";
import { simulate } from "./simulate.js";

/** Schedules that a test runs. `npm run sim:faults` runs more. */
const schedules = 100;

describe("the fault simulation of a cluster", function () {
  this.timeout(600_000);

  it("runs keep every invariant for a hundred random schedules of faults, and these reach the states of recovery", async () => {
    const coverage = new Coverage();
    const faults = new Set<string>();
    const first = firstSeed();
    for (let seed = first; seed < first + schedules; seed++) {
      const report = await simulate(seed);
      strictEqual(report.problem, undefined, `seed ${seed}: ${report.faults.join(", ")}`);
      for (const fault of report.faults) faults.add(fault);
      coverage.merge(report.coverage);
    }
    ok(faults.size >= 15, [...faults].join(", "));
    const reached = [...coverage.counts.keys()].join("\n");
    for (const expected of [
      "→ state_restored from initialization",
      "→ state_restored from replica",
      "→ state_restored from checkpoint",
      "→ attempt_failed: LAP_WORKER_LOST",
      "→ worker_evicted: no_heartbeat",
      "→ batch_skipped",
      "→ checkpoint_failed",
      "→ superseded",
      "end: drained",
      "end: finished",
    ])
      ok(reached.includes(expected), `no schedule reached: ${expected}\n${reached}`);
  });

  it("the same seed gives the same simulation", async () => {
    deepStrictEqual(await simulate(7), await simulate(7));
  });
});
