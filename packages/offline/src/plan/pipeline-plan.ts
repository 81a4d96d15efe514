import { inFlightByStage, pipelineOf, sizeOfAxes, type ResolvedJob } from "@lapidary/training";
import type { PlanReport } from "@lapidary/simulator";

/** The stages of a job. */
export interface PipelinePlan {
  readonly order: string;
  readonly stages: number;
  /** How often a microbatch passes all stages. */
  readonly repeats: number;
  /** Layers that a stage computes in a tick. */
  readonly layers_per_stage: number;
  readonly microbatches: number;
  /** Time in which a stage has no microbatch, as a share of the step. */
  readonly bubble_share: number;
  /** By stage, the share of the step in which the stage has no microbatch. Their mean is `bubble_share`. */
  readonly idle_share_by_stage: readonly number[];
  /** By stage, the most microbatches, in all repeats, of which the stage keeps an array for a later tick. */
  readonly in_flight_by_stage: readonly number[];
  /** Rows of a microbatch on a chip. */
  readonly rows_per_chip: number;
  /** Share of the bf16 peak that the matmuls of a tick reach while they run; null if ticks have none. */
  readonly matmul_efficiency: number | null;
}

/** Undefined if the layers are not divided into stages. */
export function pipelinePlanOf(job: ResolvedJob, report: PlanReport): PipelinePlan | undefined {
  const { bubble_s, idle_s_by_stage, step_time_s, tick_matmul_efficiency } = report;
  const pipeline = pipelineOf(job);
  if (pipeline === undefined) return undefined;
  const { order, stages, repeats } = pipeline;
  const microbatches = job.train.microbatches ?? 1;
  return {
    order,
    stages,
    repeats,
    layers_per_stage: job.model.config.layers / (stages * repeats),
    microbatches,
    bubble_share: bubble_s / step_time_s,
    idle_share_by_stage: idle_s_by_stage.map((seconds) => seconds / step_time_s),
    in_flight_by_stage: inFlightByStage(pipeline, microbatches),
    rows_per_chip: job.train.batch / microbatches / sizeOfAxes(job.mesh, job.rules["batch"] ?? []),
    matmul_efficiency: tick_matmul_efficiency,
  };
}
