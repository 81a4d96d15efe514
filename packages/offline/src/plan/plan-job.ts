import { createHash } from "node:crypto";
import {
  type AttentionForm,
  type Machine,
  type PlanReport,
  type SimulateOptions,
  type Simulation,
  planReport,
  simulate,
} from "@lapidary/simulator";
import { textForDigest } from "@lapidary/ir";
import { compileJob, computeOf } from "@lapidary/trainer/recipes";
import type { ResolvedJob } from "@lapidary/training";

export interface Planned {
  readonly simulation: Simulation;
  readonly report: PlanReport;
}

/** Compiles the job's train step and times it. */
export function planJob(job: ResolvedJob, machine: Machine): Planned {
  const simulation = simulate(compileJob(job, { verify: false }), machine, simulateOptions(job));
  return { simulation, report: planReport(simulation) };
}

const simulateOptions = (job: Pick<ResolvedJob, "numerics" | "attention">): SimulateOptions => ({
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

/** Hash of the chip program, as workers load it. */
export const programHash = ({ program }: Pick<Simulation, "program">): string =>
  createHash("sha256").update(textForDigest(program.chip)).digest("hex");

/** Cost of all steps of a job. */
export interface Budget {
  readonly tokens: number;
  readonly days: number;
  readonly chip_hours: number;
}

export function budgetOf({ train }: Pick<ResolvedJob, "train">, { step_time_s, tokens_per_step, chips }: PlanReport): Budget {
  const seconds = train.steps * step_time_s;
  return { tokens: train.steps * tokens_per_step, days: seconds / 86_400, chip_hours: (seconds / 3600) * chips };
}
