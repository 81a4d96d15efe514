import { createHash } from "node:crypto";
import { type AttentionForm, type Machine, type PlanReport, type Simulation, planReport, simulate } from "@lapidary/simulator";
import { textForDigest } from "@lapidary/ir";
import type { ViewMachine } from "@lapidary/telemetry";
import { compileJob, computeOf } from "@lapidary/trainer/recipes";
import { flopsOfJob, type ResolvedJob } from "@lapidary/training";

export interface Planned {
  readonly simulation: Simulation;
  readonly report: PlanReport;
}

/** The machine of a job in the form that times all its programs. */
export const viewMachineOf = ({ chip, pods, torus }: Machine, job: Pick<ResolvedJob, "numerics" | "attention">): ViewMachine => ({
  chip,
  pods,
  slice: torus.dims,
  ...simulateOptions(job),
});

/**
 * Compiles a program of the job and times it.
 *
 * @param program the step program by default
 * @throws LapidaryError `LAP_PROGRAM_UNKNOWN`
 */
export function planJob(job: ResolvedJob, machine: Machine, program?: string): Planned {
  const simulation = simulateJob(job, machine, program);
  return { simulation, report: planReport(simulation) };
}

/** The same without the report. */
export function simulateJob(job: ResolvedJob, machine: Machine, program?: string): Simulation {
  const compiled = compileJob(job, { verify: false, program, machine: viewMachineOf(machine, job) });
  const isStep = compiled.global.values.some(({ scope }) => scope.phase === "update");
  return simulate(compiled, machine, { ...simulateOptions(job), flops: isStep ? flopsOfJob(job) : undefined });
}

const simulateOptions = (job: Pick<ResolvedJob, "numerics" | "attention">): Pick<ViewMachine, "compute" | "attention"> => ({
  compute: computeOf(job),
  ...(job.attention === undefined ? {} : { attention: job.attention }),
});

/** What another form of attention would change. */
export interface OtherAttention {
  readonly attention: AttentionForm;
  readonly step_time_s: number;
  readonly hbm_bytes_peak: number;
  readonly fits: boolean;
}

/** The step of a planned job with the other form of attention; undefined if the step has no attention that a flash kernel can compute. */
export function otherAttention(job: ResolvedJob, { simulation, report }: Planned): OtherAttention | undefined {
  const attention = report.attention === "flash" ? "plain" : "flash";
  const other = simulate(simulation.program, simulation.machine, { ...simulateOptions(job), attention });
  if (other.kernels.length === simulation.kernels.length) return undefined;
  const { peakBytes } = other.memory;
  return { attention, step_time_s: other.stepSeconds, hbm_bytes_peak: peakBytes, fits: peakBytes <= report.hbm_limit };
}

/** Bytes of a chip with one way to add the gradients of microbatches. */
export interface GradientSumsPlan {
  readonly gradient_sums: "scattered" | "whole";
  /** Highest live bytes of gradients. */
  readonly gradient_bytes: number;
  /** Bytes that a chip sends for all collectives of a step. */
  readonly sent_bytes: number;
  readonly step_time_s: number;
  readonly hbm_bytes_peak: number;
}

/** The step of a job with microbatches and both ways to add their gradients, that of the job first. Undefined without microbatches. */
export function gradientSumsOf(
  job: ResolvedJob,
  { report, simulation }: Planned,
  replan: (gradientSums: "scattered" | "whole") => Planned,
): readonly GradientSumsPlan[] | undefined {
  if ((job.train.microbatches ?? 1) === 1) return undefined;
  const own = simulation.program.propagated.gradientSums;
  const other = own === "whole" ? "scattered" : "whole";
  const figures = (gradientSums: "scattered" | "whole", planned: PlanReport): GradientSumsPlan => ({
    gradient_sums: gradientSums,
    gradient_bytes: planned.hbm_bytes.gradients,
    sent_bytes: planned.collectives.reduce((sum, { sent_bytes_per_chip }) => sum + sent_bytes_per_chip, 0),
    step_time_s: planned.step_time_s,
    hbm_bytes_peak: planned.hbm_bytes.peak,
  });
  return [figures(own, report), figures(other, replan(other).report)];
}

/** Hash of the chip program, as workers load it. */
export const programHash = ({ program }: Pick<Simulation, "program">): string =>
  createHash("sha256").update(textForDigest(program.chip)).digest("hex");

/** Cost of all steps of a job. */
export interface Budget {
  readonly tokens: number;
  readonly days: number;
  readonly chip_hours: number;
}

export function budgetOf(
  { train }: Pick<ResolvedJob, "train">,
  { step_time_s, tokens_per_step, chips }: Pick<PlanReport, "step_time_s" | "tokens_per_step" | "chips">,
): Budget {
  const seconds = train.steps * step_time_s;
  return { tokens: train.steps * tokens_per_step, days: seconds / 86_400, chip_hours: (seconds / 3600) * chips };
}
