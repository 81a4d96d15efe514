import { setImmediate } from "node:timers/promises";
import { type WeightShards, weightShards } from "@lapidary/compiler";
import { lossChunkCount } from "@lapidary/ir";
import { planHtml, type PlanReport } from "@lapidary/simulator";
import type { Clock } from "@lapidary/std";
import { chipCount } from "@lapidary/topology";
import { type ContextPlan, contextPlanOf, type ExpertPlan, expertPlanOf, printJob } from "@lapidary/training";
import type { Reporter } from "../reporter.js";
import { adviseFit, type FitAdvice, type FitFigures } from "./fit-advice.js";
import {
  type Budget,
  budgetOf,
  gradientSumsOf,
  type GradientSumsPlan,
  type OtherAttention,
  otherAttention,
  planJob,
  programHash,
  simulateJob,
} from "./plan-job.js";
import type { PlanSubject } from "./plan-subject.js";
import { type PipelinePlan, pipelinePlanOf } from "./pipeline-plan.js";
import { overridesOf, type PlanChoice } from "./plan-choice.js";
import { searchJob } from "./search-job.js";

export type { WeightShards } from "@lapidary/compiler";
export { gigabytes, type KernelReport, percent, type PlanReport, seconds } from "@lapidary/simulator";
export type { ContextPlan, ExpertPlan } from "@lapidary/training";
export type { FitAdvice } from "./fit-advice.js";
export type { GradientSumsPlan, OtherAttention } from "./plan-job.js";
export type { PipelinePlan } from "./pipeline-plan.js";
export { type PlanSubject, planSubject } from "./plan-subject.js";
export { type ProgramPlan, type ProgramsPlan, planPrograms, type VariantPlan } from "./programs-plan.js";

/** The prediction for a program of a job. */
export interface StepPlan {
  readonly report: PlanReport;
  /** Time and chip-hours of all steps of the job. */
  readonly budget: Budget;
  readonly programHash: string;
  /** Pieces of the sequence in which the loss is computed. */
  readonly lossChunks: number;
  /** The step with the other form of attention; undefined if it does not differ. */
  readonly otherAttention: OtherAttention | undefined;
  /** With microbatches: their number, and the step with both ways to add their gradients, that of the job first. */
  readonly microbatches: { readonly count: number; readonly sums: readonly GradientSumsPlan[] } | undefined;
  /** The stages of a pipeline; undefined if there are none. */
  readonly pipeline: PipelinePlan | undefined;
  /** What the experts of a mixture compute; undefined if the model has none. */
  readonly experts: ExpertPlan | undefined;
  /** How attention is divided over parts of a row; undefined if a row is on one chip. */
  readonly context: ContextPlan | undefined;
  readonly shards: readonly WeightShards[];
  /** Changes that lower the memory of a step that does not fit, the last one the best. */
  readonly advice: readonly FitAdvice[];
  /** The plan as one HTML page that opens offline. */
  readonly page: () => string;
}

/**
 * Compiles a program of a job and times it on a model of the chips. Nothing runs.
 *
 * @param program the step program by default
 * @throws LapidaryError `LAP_PROGRAM_UNKNOWN`
 */
export function planStep(
  { job, machine, read, warnings, fixes }: PlanSubject,
  reporter: Pick<Reporter, "progress">,
  program?: string,
): StepPlan {
  reporter.progress("compile and time the step");
  const planned = planJob(job, machine, program);
  const { report, simulation } = planned;
  if (!report.fits) reporter.progress("try what would make it fit");
  const figuresOf = (overrides: readonly string[]): FitFigures => {
    const { memory, stepSeconds } = simulateJob(read(overrides), machine, program);
    return { hbm_bytes_peak: memory.peakBytes, step_time_s: stepSeconds };
  };
  const advice = report.fits ? [] : adviseFit(job, { peak: report.hbm_bytes.peak, limit: report.hbm_limit }, figuresOf, fixes);
  const budget = budgetOf(job, report);
  const sums = gradientSumsOf(job, planned, (form) => planJob(read([`train.gradient_sums=${form}`]), machine, program));
  return {
    report,
    budget,
    programHash: programHash(simulation),
    lossChunks: lossChunkCount(simulation.program.global),
    otherAttention: otherAttention(job, planned),
    microbatches: sums === undefined ? undefined : { count: job.train.microbatches ?? 1, sums },
    pipeline: pipelinePlanOf(job, report),
    experts: expertPlanOf(job),
    context: contextPlanOf(job),
    shards: weightShards(simulation.program.chip, simulation.program.global),
    advice,
    page: () =>
      planHtml(simulation, report, { title: job.name, tokens: budget.tokens, days: budget.days, chipHours: budget.chip_hours, warnings }),
  };
}

/** Plans that a search tries. Each compiles two small models; all together take half a minute for 7B on one core. */
const searchBudget = 48;
/** On a busy machine, the search stops after this time with the plans it has. */
const searchForMs = 40_000;
/** This many of the best plans are compiled with all layers. */
const compiledWhole = 2;

/** A plan of a search, with the fields that `lapidary plan --search --json` prints. */
export interface SearchedPlan extends PlanChoice {
  readonly overrides: readonly string[];
  /** For the tokens of the job's own step. */
  readonly time_s: number;
  readonly hbm_bytes_peak: number;
  readonly fits: boolean;
  /** Whether no other plan is better in both time and memory. */
  readonly pareto: boolean;
  readonly compiled_whole: boolean;
  readonly mfu?: number;
  readonly step_time_s?: number;
}

export interface PlanSearch {
  /** The best first. */
  readonly plans: readonly SearchedPlan[];
  /** The fastest plan that fits, and its job file. */
  readonly best: { readonly overrides: readonly string[]; readonly jobFile: string } | undefined;
}

/** Searches meshes, ZeRO stage, rematerialisation, batch, microbatches, pieces of the loss and sequence sharding. */
export async function searchPlansOf(subject: PlanSubject, clock: Clock, reporter: Pick<Reporter, "progress">): Promise<PlanSearch> {
  const { job, machine, read } = subject;
  const chips = chipCount(machine.torus);
  const until = clock.monotonic() + searchForMs;
  const ranked = await searchJob({
    job,
    machine,
    read,
    budget: searchBudget,
    onProgress: async (tried, budget, best) => {
      reporter.progress("search", `${tried} of at most ${budget} plans tried${best === "" ? "" : `, best so far ${best}`}`);
      await setImmediate();
      return clock.monotonic() < until;
    },
  });
  reporter.progress("compile the best plans whole");
  const plans = ranked.map((plan, i): SearchedPlan => {
    const overrides = overridesOf(plan.plan, job, chips);
    const exact = i < compiledWhole ? planJob(read(overrides), machine).report : undefined;
    const scale = job.train.batch / plan.plan.batch;
    return {
      overrides,
      ...plan.plan,
      time_s: exact === undefined ? plan.seconds : exact.step_time_s * scale,
      hbm_bytes_peak: exact?.hbm_bytes.peak ?? plan.hbmBytes,
      fits: exact?.fits ?? plan.fits,
      pareto: plan.pareto,
      compiled_whole: exact !== undefined,
      ...(exact === undefined ? {} : { mfu: exact.mfu, step_time_s: exact.step_time_s }),
    };
  });
  const best = plans.filter(({ fits }) => fits).sort((a, b) => a.time_s - b.time_s)[0];
  return { plans, best: best === undefined ? undefined : { overrides: best.overrides, jobFile: printJob(read(best.overrides)) } };
}
