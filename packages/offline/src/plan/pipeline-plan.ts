import { buildOptionsOf, sizeOfAxes, type ResolvedJob } from "@lapidary/training";
import type { PlanReport } from "@lapidary/simulator";

/** The stages of a job. */
export interface PipelinePlan {
  readonly order: string;
  readonly stages: number;
  readonly layers_per_stage: number;
  readonly microbatches: number;
  /** Time in which a stage has no microbatch, as a share of the step. */
  readonly bubble_share: number;
  /** Rows of a microbatch on a chip. */
  readonly rows_per_chip: number;
  /** Share of the bf16 peak that the matmuls of a tick reach while they run; null if ticks have none. */
  readonly matmul_efficiency: number | null;
}

/** Undefined if the layers are not divided into stages. */
export function pipelinePlanOf(job: ResolvedJob, { bubble_s, step_time_s, tick_matmul_efficiency }: PlanReport): PipelinePlan | undefined {
  const { pipeline } = buildOptionsOf(job);
  if (pipeline === undefined) return undefined;
  const { stages, order = "gpipe" } = pipeline;
  const microbatches = job.train.microbatches ?? 1;
  return {
    order,
    stages,
    layers_per_stage: job.model.config.layers / stages,
    microbatches,
    bubble_share: bubble_s / step_time_s,
    rows_per_chip: job.train.batch / microbatches / sizeOfAxes(job.mesh, job.rules["batch"] ?? []),
    matmul_efficiency: tick_matmul_efficiency,
  };
}
