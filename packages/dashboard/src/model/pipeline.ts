import type { JobState, JobSummary, PipelineDetail } from "@lapidary/api";

export type PipelineJobView = PipelineDetail["jobs"][number];

/** The jobs of a pipeline with the newest summaries that the page has received. */
export function withNewest({ jobs }: Pick<PipelineDetail, "jobs">, received: readonly JobSummary[]): PipelineJobView[] {
  const newest = new Map(received.map((summary) => [summary.id, summary]));
  return jobs.map((job) => {
    const summary = newest.get(job.run) ?? job.summary;
    return { ...job, ...(summary === undefined ? {} : { summary }) };
  });
}

export const isFinalState = (state: JobState): boolean => state === "done" || state === "failed" || state === "cancelled";

/** The state of a pipeline, as the coordinator derives it from its jobs. */
export function pipelineState(jobs: readonly Pick<PipelineJobView, "summary">[]): PipelineDetail["state"] {
  const states = jobs.flatMap(({ summary }) => summary?.state ?? []);
  if (!states.every(isFinalState)) return states.every((state) => state === "queued") ? "queued" : "running";
  return states.includes("failed") ? "failed" : states.includes("cancelled") ? "cancelled" : "done";
}

/** The pipelines of the listed runs, in the order of the list, with the number of runs by state. */
export function pipelinesOf(jobs: readonly JobSummary[]): { readonly id: string; readonly states: ReadonlyMap<JobState, number> }[] {
  const pipelines = new Map<string, Map<JobState, number>>();
  for (const { pipeline, state } of jobs) {
    if (pipeline === undefined) continue;
    const states = pipelines.get(pipeline) ?? new Map<JobState, number>();
    pipelines.set(pipeline, states.set(state, (states.get(state) ?? 0) + 1));
  }
  return [...pipelines].map(([id, states]) => ({ id, states }));
}
