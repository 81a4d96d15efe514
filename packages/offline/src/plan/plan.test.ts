import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { locatedWithLossChunks } from "@lapidary/trainer/recipes";
import { readJobFile } from "../job/job-file.js";
import { resolveJobText } from "../job/job-text.js";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { planJob } from "./plan-job.js";
import { planStep, planSubject, type PlanSubject } from "./plan.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const read = (overrides: readonly string[]): PlanSubject["job"] =>
  readJobFile({ root, cwd: root, home: root }, "e2e/cases/common/tiny.yaml", overrides).job;

/** Two layers with the vocabulary of Gemma, on four v5e chips. The logits of two rows a chip do not fit. */
const wideJob = `
model: { vocab_size: 256128, model_dim: 512, layers: 2, heads: 4, kv_heads: 1, head_dim: 128, mlp_dim: 1024, context_length: 8192 }
pod: v5e-256
slice: 2x2
mesh: { data: 4 }
remat: full
numerics: mxu
train: { steps: 1, batch: 8, optimizer: { name: sgd, lr: 0.1 } }
`;
const readWide = (overrides: readonly string[]): PlanSubject["job"] =>
  locatedWithLossChunks(resolveJobText({ root, cwd: root, home: root }, { text: wideJob, file: "wide.yaml", base: root }, overrides), root)
    .job;
const wide = (...overrides: string[]): PlanSubject =>
  planSubject({ job: readWide(overrides), read: (more) => readWide([...overrides, ...more]) }, root, undefined);

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

  it("auto is the smallest number of pieces of the loss with which a job fits, and 1 for a job that fits", () => {
    equal(readWide(["train.batch=4", "loss_chunks=auto"]).loss_chunks, 1);
    const chosen = Number(readWide(["loss_chunks=auto"]).loss_chunks);
    ok(chosen > 1);
    const fits = (count: number): boolean => planJob(readWide([`loss_chunks=${count}`]), wide().machine).report.fits;
    deepStrictEqual([fits(chosen), fits(chosen / 2)], [true, false]);
  });

  it("the advice for a step whose logits do not fit is a loss in pieces, which costs no batch", () => {
    const { reporter } = collectingReporter();
    const { report, advice, lossChunks } = planStep(wide(), reporter);
    deepStrictEqual([report.fits, lossChunks], [false, 1]);
    deepStrictEqual(
      advice.map(({ overrides, fits }) => [overrides, fits]),
      [[["loss_chunks=4"], true]],
    );
    ok((advice[0]?.step_time_s ?? Infinity) < 1.01 * report.step_time_s);
  });

  it("a plan names its form of attention, and the time and memory of the other form", () => {
    const { reporter } = collectingReporter();
    const flash = planStep(wide("train.batch=4"), reporter);
    const plain = planStep(wide("train.batch=4", "attention=plain"), reporter);
    deepStrictEqual([flash.report.attention, flash.otherAttention?.attention], ["flash", "plain"]);
    deepStrictEqual([plain.report.attention, plain.otherAttention?.attention], ["plain", "flash"]);
    equal(flash.otherAttention?.step_time_s, plain.report.step_time_s);
    equal(plain.otherAttention?.hbm_bytes_peak, flash.report.hbm_bytes.peak);
    ok(plain.report.step_time_s > flash.report.step_time_s);
    equal(flash.programHash, plain.programHash);
  });
});
