import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ensure } from "@lapidary/std";
import { compileJob, programNames } from "@lapidary/trainer/recipes";
import { readJobFile } from "../job/job-file.js";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { planStep, planSubject } from "./plan.js";
import { type ProgramPlan, planPrograms, type ProgramsPlan, type ProgramsReport } from "./programs-plan.js";
import type { PlanSubject } from "./plan-subject.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const subjectOf = (file: string, ...given: string[]): PlanSubject => {
  const read = (overrides: readonly string[]): PlanSubject["job"] =>
    readJobFile({ root, cwd: root, home: root }, file, [...given, ...overrides]).job;
  return planSubject({ job: read([]), read }, root, undefined);
};
const quiet = collectingReporter().reporter;
const plan = (...given: string[]): ProgramsPlan => ensure(planPrograms(subjectOf("gemma-7b-rl", ...given), quiet), "programs");
const programOf = ({ programs }: ProgramsReport, name: string): ProgramPlan =>
  ensure(
    programs.find((program) => program.name === name),
    name,
  );
const isNear = (value: number, expected: number, share: number, what: string): void =>
  ok(Math.abs(value / expected - 1) < share, `${what}: ${value}, expected ${expected}`);

/** Gigabytes that a program sends over an axis. */
const sent = (program: Pick<ProgramPlan, "collectives">, axis: string): number =>
  program.collectives.filter((one) => one.axis === axis).reduce((sum, { sent_bytes_per_chip }) => sum + sent_bytes_per_chip, 0) / 1e9;

describe("the plan of a step with several programs", function () {
  this.timeout(300_000);
  const modelOf = (vocabulary: number): string =>
    `model={vocab_size: ${vocabulary}, model_dim: 256, layers: 2, heads: 16, kv_heads: 16, head_dim: 16, mlp_dim: 512, context_length: 256}`;
  const small = [modelOf(512), "train.batch=64", "train.seq=64", "rl.rollout.max_new_tokens=16"];

  it("7B on one pod: weights, cache and the gathers of decoding have the bytes and times of their formulas", () => {
    const { report } = plan();
    const sharded = planStep(subjectOf("gemma-7b-rl", "rl.rollout.weights=sharded"), quiet, "rollout_decode").report;
    const weights = 8_538_074_112;
    const { sets } = report.hbm_bytes;
    const bytes = (set: string): number => ensure(sets[set], set);
    // A chip has a 256th of the weights, two moments and a gradient, 4 bytes each.
    isNear((2 * bytes("trained") + bytes("optimizer")) / 1e9, 0.53, 0.02, "policy, moments and gradient");
    isNear(bytes("reference") / 1e9, 0.13, 0.03, "a frozen set");
    // 28 blocks × keys and values × 2,047 positions × 4,096 values of 2 bytes, of 256 rows on 256 chips.
    isNear(bytes("cache") / 1e9, 0.94, 0.01, "the cache");
    isNear(bytes("rollout/policy"), (2 * weights) / 16, 1e-3, "gathered weights in bf16");
    isNear(bytes("rollout/policy") / 1e9, 1.07, 0.01, "gathered weights");
    // A chip receives 15 of 16 shards. The link gives 90 GB/s.
    const gather = programOf(report, "gather_rollout");
    const decode = programOf(report, "rollout_decode");
    for (const program of [gather, sharded]) isNear(sent(program, "data"), (1.07 * 15) / 16, 0.01, "bytes over data");
    ok(sent(decode, "data") < 1e-6);
    isNear(gather.time_s, (11.9e-3 * 15) / 16, 0.02, "one gather");
    isNear(bytes("rollout/policy") / 819e9, 1.3e-3, 0.02, "one read of the weights");
    ok(sharded.step_time_s > gather.time_s && decode.time_s < 0.6 * sharded.step_time_s, `${decode.time_s} ${sharded.step_time_s}`);
    const chosen = report.variants.map(({ name, is_chosen, is_recommended }) => ({ name, is_chosen, is_recommended }));
    deepStrictEqual(chosen, [
      { name: "rl.rollout.weights=sharded", is_chosen: false, is_recommended: false },
      { name: "rl.rollout.weights=gathered", is_chosen: true, is_recommended: true },
    ]);
  });

  it("a job that names the form of the weights gets it, next to the recommendation", () => {
    deepStrictEqual(
      plan(...small, "rl.rollout.weights=sharded").report.variants.map(({ is_chosen, is_recommended }) => [is_chosen, is_recommended]),
      [
        [true, false],
        [false, true],
      ],
    );
  });

  it("the runs of all programs add up to the step, and no chip has more than the peak", () => {
    const { report, budget } = plan(...small, "rl.iterations=2");
    const sum = (each: (program: ProgramPlan) => number): number => report.programs.reduce((total, one) => total + each(one), 0);
    isNear(
      sum(({ runs, time_s }) => runs * time_s),
      report.step_time_s,
      1e-9,
      "programs",
    );
    isNear(
      Object.values(report.phases_s).reduce((a, b) => a + b, 0),
      report.step_time_s,
      1e-9,
      "phases",
    );
    for (const { hbm_bytes } of report.programs) {
      const resident = Object.values(hbm_bytes.resident).reduce((a, b) => a + b, 0);
      isNear(hbm_bytes.program + resident, hbm_bytes.peak, 1e-9, "peak");
    }
    equal(Math.max(...report.programs.map(({ hbm_bytes }) => hbm_bytes.peak)), report.hbm_bytes.peak);
    deepStrictEqual(
      report.programs.map(({ name, runs }) => [name, runs]),
      [
        ["gather_rollout", 1],
        ["rollout_prefill", 1],
        ["rollout_decode", 15],
        ["score", 1],
        ["rollout_logprobs", 1],
        ["rl_step", 2],
      ],
    );
    equal(budget.tokens, 1000 * 64 * 64);
    // The update does not have the gathered weights: they are dropped before it.
    deepStrictEqual(Object.keys(programOf(report, "rl_step").hbm_bytes.resident).sort(), ["reference", "reward0"]);
  });

  it("each reward model is scored once a step and has its own parameter set", () => {
    const { report } = plan(...small, "reward=[{model: a}, {checker: sorted}, {model: b}]");
    const scores = report.programs.filter(({ program }) => program === "score");
    deepStrictEqual(
      scores.map(({ name, hbm_bytes }) => [name, hbm_bytes.resident["reward0"] === undefined, hbm_bytes.resident["reward2"] === undefined]),
      [
        ["score reward0", true, false],
        ["score reward2", false, true],
      ],
    );
    equal(plan(...small, "reward=[{checker: sorted}]").report.phases_s.score, 0);
  });

  it("without shards over data, gathered weights only help because rollouts read them in bf16", () => {
    const recommended = (numerics: string): boolean[] =>
      plan(...small, "zero=0", `numerics=${numerics}`).report.variants.map((one) => one.is_recommended);
    deepStrictEqual(recommended("f32"), [true, false]);
    deepStrictEqual(recommended("mxu"), [false, true]);
  });

  it("a step that does not fit names overrides that make all programs fit", () => {
    const { report, advice } = plan(modelOf(262_144), "train.batch=65536", "train.seq=256", "rl.rollout.max_new_tokens=8", "remat=none");
    ok(!report.fits && report.hbm_bytes.peak > report.hbm_limit);
    ok(advice.length > 0 && ensure(advice.at(-1), "advice").hbm_bytes_peak < report.hbm_bytes.peak);
  });

  it("a job whose step is one program has no plan of several programs", () => {
    equal(planPrograms(subjectOf("e2e/cases/common/tiny.yaml"), quiet), undefined);
  });

  it("an unknown program is an error that names the programs of the job", () => {
    const subject = subjectOf("gemma-7b-rl", ...small);
    throws(() => planStep(subject, quiet, "rollout_decod"), {
      code: "LAP_PROGRAM_UNKNOWN",
      remedy: /did you mean "rollout_decode"\? programs are rl_step, /,
    });
    ok(programNames(subject.job).includes("gather_rollout"));
    equal(compileJob(subject.job, { program: "score" }).name, "score");
    equal(planStep(subject, quiet, "rollout_decode").report.hbm_limit, planStep(subject, quiet).report.hbm_limit);
  });
});
