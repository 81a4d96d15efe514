import { buildOptionsOf, type ResolvedJob } from "@lapidary/training";
import type { PlanReport } from "@lapidary/simulator";

/** The stages of a job. */
export interface PipelinePlan {
  readonly order: string;
  readonly stages: number;
  readonly layers_per_stage: number;
  readonly microbatches: number;
  /** Time in which a stage has no microbatch, as a share of the step. */
  readonly bubble_share: number;
}

/** Undefined if the layers are not divided into stages. */
export function pipelinePlanOf(job: ResolvedJob, { bubble_s, step_time_s }: PlanReport): PipelinePlan | undefined {
  const { pipeline } = buildOptionsOf(job);
  if (pipeline === undefined) return undefined;
  const { stages, order = "gpipe" } = pipeline;
  return {
    order,
    stages,
    layers_per_stage: job.model.config.layers / stages,
    microbatches: job.train.microbatches ?? 1,
    bubble_share: bubble_s / step_time_s,
  };
}
