import { isFinal, type PipelineDetail } from "@lapidary/api";
import type { PipelineRecord, RunStore } from "@lapidary/telemetry/runs";

/** A pipeline with the summaries of its runs. */
export function pipelineDetail({ id, created_at, jobs }: PipelineRecord, runs: RunStore): PipelineDetail {
  const found = jobs.map(({ name, run, needs }) => {
    const summary = runs.find(run)?.summary;
    return { name, run, needs, ...(summary === undefined ? {} : { summary }) };
  });
  return { id, state: pipelineState(found.flatMap(({ summary }) => summary?.state ?? [])), created_at, jobs: found };
}

function pipelineState(states: readonly ResolvedState[]): PipelineDetail["state"] {
  if (!states.every(isFinal)) return states.every((state) => state === "queued") ? "queued" : "running";
  return states.includes("failed") ? "failed" : states.includes("cancelled") ? "cancelled" : "done";
}

type ResolvedState = Parameters<typeof isFinal>[0];
