import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readJobFile } from "../job/job-file.js";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { planStep, planSubject, type PlanSubject } from "./plan.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const read = (overrides: readonly string[]): PlanSubject["job"] =>
  readJobFile({ root, cwd: root, home: root }, "e2e/cases/common/tiny.yaml", overrides).job;

describe("the plan of a step", () => {
  it("a step that fits has a budget, a program hash and no advice", () => {
    const { reporter, phases } = collectingReporter();
    const job = read([]);
    const { report, budget, programHash, advice, shards } = planStep(planSubject({ job, read }, root, undefined), reporter);
    ok(report.fits && report.step_time_s > 0);
    equal(budget.tokens, job.train.steps * report.tokens_per_step);
    equal(programHash.length, 64);
    deepStrictEqual(advice, []);
    ok(shards.length > 0);
    deepStrictEqual(phases, ["compile and time the step"]);
  });

  it("an unknown chip is an error that proposes the nearest name", () => {
    throws(() => planSubject({ job: read([]), read }, root, "v5f"), { code: "LAP_CHIP_UNKNOWN", location: "chip" });
  });
});
