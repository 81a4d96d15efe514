import type { PipelineShape } from "@lapidary/models";
import type { ResolvedJob } from "./resolved-job.js";

/** Chips along the axes together. */
export const sizeOfAxes = (mesh: ResolvedJob["mesh"], axes: readonly string[]): number =>
  mesh.reduce((n, { name, size }) => (axes.includes(name) ? n * size : n), 1);

/** Stages of the pipeline; 1 if the layers are not divided. */
export const stagesOf = ({ mesh, rules }: Pick<ResolvedJob, "mesh" | "rules">): number => sizeOfAxes(mesh, rules["stages"] ?? []);

/** The pipeline of a job; undefined if the layers are not divided. */
export function pipelineOf(job: Pick<ResolvedJob, "mesh" | "rules" | "pipeline">): Required<PipelineShape> | undefined {
  const stages = stagesOf(job);
  return stages === 1 ? undefined : { stages, order: job.pipeline?.order ?? "gpipe", repeats: job.pipeline?.repeats ?? 1 };
}
