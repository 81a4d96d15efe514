import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ResolvedJob } from "@lapidary/training";
import { resolveJobText } from "../job/job-text.js";
import { choicesOf, ownChoice, overridesOf, type PlanChoice } from "./plan-choice.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));

/** Every third layer has four experts, the others an MLP. */
const mixture = `
model:
  family: qwen3moe
  vocab_size: 64
  model_dim: 32
  layers: 9
  heads: 4
  kv_heads: 2
  head_dim: 16
  mlp_dim: 32
  context_length: 64
  experts: { count: 4, per_token: 2, mlp_dim: 16, every: 3 }
pod: v5e-256
slice: 4x4
mesh: { data: 16 }
train: { steps: 1, batch: 16, optimizer: { name: adamw, lr: 0.1 } }
`;
const read = (...overrides: readonly string[]): ResolvedJob =>
  resolveJobText({ root, cwd: root, home: root }, { text: mixture, file: "mixture.yaml", base: root }, overrides).job;

describe("the plans that a search tries", () => {
  it("the overrides of a plan give a job that makes the choices of the plan", () => {
    const job = read();
    const { starts, neighbours } = choicesOf(job, 16);
    const seen = new Map<string, PlanChoice>();
    for (const plan of [...starts, ...starts.filter(({ model }) => model < 4).flatMap(neighbours)])
      seen.set(overridesOf(plan, job, 16).join(" "), plan);
    let resolved = 0;
    for (const plan of seen.values()) {
      if (plan.batch % (16 / (plan.model * plan.context)) !== 0) continue;
      let changed: ResolvedJob;
      try {
        changed = read(...overridesOf(plan, job, 16));
      } catch {
        continue; // A mesh that does not divide the model: the search skips it.
      }
      resolved++;
      deepStrictEqual(ownChoice(changed), plan);
    }
    ok(resolved > 30, String(resolved));
    for (const axis of ["model", "expert", "context"] as const)
      ok(
        [...seen.values()].some((plan) => plan[axis] > 1),
        axis,
      );
  });

  it("a model without experts has no plan with an axis of experts", () => {
    const { starts, neighbours } = choicesOf(read("model=llama-3.1-8b", "train.seq=64"), 16);
    ok([...starts, ...starts.flatMap(neighbours)].every(({ expert }) => expert === 1));
  });

  it("a search begins with experts over an axis, and with parts of rows if there are fewer rows than chips", () => {
    const starts = (job: ResolvedJob): readonly PlanChoice[] => choicesOf(job, 16).starts;
    ok(starts(read()).some(({ expert, model }) => expert === 4 && model === 1));
    ok(starts(read()).every(({ context }) => context === 1));
    ok(starts(read("mesh={ data: 4, model: 4 }", "train.batch=4")).some(({ context, model }) => context === 4 && model === 1));
  });

  it("a plan without the axis context drops the key context of the job", () => {
    const job = read("mesh={ data: 4, context: 4 }", "context={ strategy: heads }");
    const own = ownChoice(job);
    equal(own.contextStrategy, "heads");
    const without = overridesOf({ ...own, context: 1, contextStrategy: "all_gather" }, job, 16);
    equal(read("mesh={ data: 4, context: 4 }", "context={ strategy: heads }", ...without).context, undefined);
  });
});
