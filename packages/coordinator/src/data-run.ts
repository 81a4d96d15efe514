import { availableParallelism } from "node:os";
import { knownDatasets, Progress, readPipeline, rememberRun, runPipeline, type RunResult } from "@lapidary/data-pipeline";
import { asJson, type Clock, canonicalJson, ensure } from "@lapidary/std";
import { type DataJob, outputOf } from "@lapidary/training/job";
import { createHash } from "node:crypto";
import type { S3Access } from "@lapidary/data-store";
import type { DataReport } from "@lapidary/api";
import type { NewRun, Run } from "@lapidary/telemetry";

/**
 * What the run store records of a data job. It has no chips, and its steps are the stages of the pipeline.
 *
 * @param home the state directory, which remembers the output
 * @throws LapidaryError LAP_DATA_… for a mistake in the pipeline file
 */
export function describeDataJob(job: DataJob, home: string): Omit<NewRun, "name" | "priority" | "queue_id"> {
  const { out, stages, sources } = readPipeline(job.pipeline);
  rememberRun(home, out);
  const extracts = Object.values(sources).some(({ extract }) => extract !== undefined);
  return {
    jobFile: `${JSON.stringify(job, undefined, 2)}\n`,
    fingerprint: createHash("sha256")
      .update(canonicalJson(asJson({ ...job, priority: 0 })))
      .digest("hex"),
    job: asJson(job),
    model: "data",
    pod: "none",
    mesh: "",
    chips: 0,
    steps: 1 + Number(extracts) + stages.length,
    dataset: nameOf(home, out),
  };
}

const nameOf = (home: string, out: string): string =>
  ensure(
    knownDatasets(home).find((each) => each.out === out),
    "a remembered dataset",
  ).id;

/** How often the progress is recorded. */
const progressMs = 1000;

interface DataRun {
  readonly run: Run;
  readonly job: DataJob;
  readonly home: string;
  /** For sources and a store in an S3-compatible server. */
  readonly s3: S3Access | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Runs a data pipeline. A run that was interrupted goes on with what its output has.
 *
 * @throws LapidaryError LAP_DATA_…; the reason of `signal` after an abort
 */
export async function runDataJob({ run, job, home, s3, clock, signal }: DataRun): Promise<DataReport> {
  const started = clock.monotonic();
  rememberRun(home, outputOf(job));
  run.enter("running", { activity: { what: "read the sources" } });
  let last = Number.NEGATIVE_INFINITY;
  const progress = new Progress(clock, (phase) => {
    const now = clock.monotonic();
    if (now - last < progressMs) return;
    last = now;
    const { done, total } = progress.tasks;
    run.enter("running", { activity: { what: phase, ...(total === 0 ? {} : { done, total }) }, fromStep: progress.stagesDone });
  });
  const result = await runPipeline({
    pipeline: readPipeline(job.pipeline),
    s3,
    workers: job.workers ?? availableParallelism(),
    signal,
    progress,
    warn: (text) => run.log("data", text),
  });
  run.enter("running", { fromStep: progress.stagesDone });
  return reportOf(run.id, { home, out: outputOf(job), total_ms: clock.monotonic() - started }, result);
}

function reportOf(
  id: string,
  { home, out, total_ms }: { readonly home: string; readonly out: string; readonly total_ms: number },
  { computed, found, stages, dataset }: RunResult,
): DataReport {
  const last = stages.at(-1);
  const sources = Object.fromEntries(
    Object.entries(last?.bySource ?? {}).map(([name, { out: documents, bytes, tokens = 0 }]) => [name, { documents, bytes, tokens }]),
  );
  return {
    id,
    out,
    dataset: nameOf(home, out),
    computed,
    found,
    sources:
      dataset === undefined
        ? sources
        : Object.fromEntries(
            Object.entries(dataset.sources).map(([name, { documents, tokens, bytes }]) => [name, { documents, tokens, bytes }]),
          ),
    documents_in: stages[0]?.counts.in ?? 0,
    documents: last?.counts.out ?? 0,
    total_ms,
    warnings: [],
  };
}
