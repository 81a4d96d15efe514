import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type ExpertPlan, expertPlanOf } from "@lapidary/training";
import { ensure } from "@lapidary/std";
import { resolveJobText } from "../job/job-text.js";
import { planJob } from "./plan-job.js";
import { planSubject, type PlanSubject } from "./plan.js";
import { type PipelinePlan, pipelinePlanOf } from "./pipeline-plan.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const read =
  (text: string) =>
  (overrides: readonly string[]): PlanSubject["job"] =>
    resolveJobText({ root, cwd: root, home: root }, { text, file: "layout.yaml", base: root }, overrides).job;

const staged = read(`
model: { family: llama, vocab_size: 512, model_dim: 512, layers: 4, heads: 4, kv_heads: 4, head_dim: 128, mlp_dim: 1024, context_length: 128 }
pod: v5e-256
slice: 2x4
mesh: { data: 2, stage: 4 }
numerics: mxu
train: { steps: 1, batch: 32, optimizer: { name: sgd, lr: 0.1 } }
`);

const mixture = read(`
model: e2e/golden/families/mixtral
pod: v5e-256
mesh: { data: 64, expert: 4 }
moe: { capacity_factor: 1 }
train: { steps: 1, batch: 256, seq: 32, optimizer: { name: sgd, lr: 0.1 } }
`);

describe("the plan of a layout", () => {
  it("with smaller microbatches, stages are idle for a smaller share of the step, and matmuls reach less of the peak", () => {
    const plan = (microbatches: number): PipelinePlan => {
      const overrides = [`train.microbatches=${microbatches}`];
      const subject = planSubject({ job: staged(overrides), read: (more) => staged([...overrides, ...more]) }, root, undefined);
      return ensure(pipelinePlanOf(subject.job, planJob(subject.job, subject.machine).report), "plan of stages");
    };
    const [few, many] = [plan(4), plan(16)];
    deepStrictEqual([few.rows_per_chip, many.rows_per_chip], [4, 1]);
    ok(many.bubble_share < few.bubble_share);
    const [ofFew, ofMany] = [few.matmul_efficiency ?? 0, many.matmul_efficiency ?? 0];
    ok(ofMany > 0 && ofMany < 0.9 * ofFew && ofFew < 1, `${ofFew} of the peak with 4 microbatches, ${ofMany} with 16`);
  });

  it("the rows that experts compute and drop are those of the job, on every mesh", () => {
    const of = (...overrides: string[]): ExpertPlan => ensure(expertPlanOf(mixture(overrides)), "plan of experts");
    const [plan, ...others] = [
      of(),
      of("mesh={ data: 256 }"),
      of("mesh={ data: 32, expert: 2, model: 4 }"),
      of("mesh={ data: 64, context: 4 }"),
    ];
    ok(plan !== undefined);
    for (const other of others) deepStrictEqual(other, plan);
    // 2 of 4 experts a token in 2 layers; each expert has slots for half of the tokens of a row.
    deepStrictEqual([plan.rows_chosen, plan.rows_computed, plan.rows_stored], [2 * 256 * 32 * 2, 2 * 256 * 4 * 16, 2 * 256 * 4 * 16]);
    ok(plan.dropped_share_random > 0.05 && plan.dropped_share_random < 0.2);
    const every = of("moe={ capacity_factor: 2 }");
    deepStrictEqual([every.rows_computed, every.dropped_share_random], [2 * 256 * 4 * 32, 0]);
  });

  it("without a capacity, the chosen rows are computed on every mesh, and buffers grow with the parts of the experts", () => {
    const of = (mesh: string): ExpertPlan =>
      ensure(expertPlanOf(mixture([`mesh=${mesh}`, "moe={ dispatch: dropless, imbalance: 1.5 }"])), "plan");
    for (const [mesh, slots] of [
      ["{ data: 256 }", 64],
      ["{ data: 128, expert: 2 }", 2 * 64],
      ["{ data: 64, expert: 4 }", 4 * 32],
    ] as const) {
      const { rows_chosen: chosen, rows_computed: computed, rows_stored: stored, dropped_share_random: dropped, imbalance } = of(mesh);
      deepStrictEqual([computed, dropped, imbalance], [chosen, 0, 1.5], mesh);
      strictEqual(stored, 2 * 256 * slots, mesh);
    }
  });
});
