import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { asJson, canonicalJson, LapidaryError, type Warning } from "@lapidary/std";
import {
  type Cancelled,
  isFinal,
  namePattern,
  type PipelineCancelled,
  type PipelineSubmitted,
  type submitPipelineSchema,
} from "@lapidary/api";
import { type PipelineRecord, type PipelineStore, type Run, runFiles, type RunStore } from "@lapidary/telemetry";
import { listCheckpoints } from "@lapidary/trainer";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { dataJobIn, isDataEntry, outputOf, type PipelineDataJob } from "@lapidary/training/job";
import {
  checkDataOfNeeds,
  checkRunsOfNeeds,
  type JobOrder,
  jobWarnings,
  mapRunReferences,
  orderJobs,
  type ResolvedJob,
  runReferences,
} from "@lapidary/training";
import type { z } from "zod";
import { checkOutput } from "./check-output.js";
import { pipelineNameTaken } from "./coordinator-errors.js";
import { describeDataJob } from "./data-run.js";
import { describeJob, parsePlacedJob } from "./jobs.js";

type PipelineRequest = z.output<typeof submitPipelineSchema>;

/** The project, and the files of runs and pipelines. */
export interface PipelinePlace {
  readonly root: string;
  /** The state directory. */
  readonly home: string;
  readonly runs: RunStore;
  readonly pipelines: PipelineStore;
}

/** A pipeline that can be created, and the warnings of each of its runs. */
interface CheckedPipeline {
  readonly record: PipelineRecord;
  readonly warnings: ReadonlyMap<string, readonly Warning[]>;
}

/**
 * Resolves and checks the jobs of a pipeline. A pipeline without a name gets a free id.
 *
 * @throws LapidaryError for an invalid job, need or input
 */
export async function checkNewPipeline(request: PipelineRequest, place: PipelinePlace, created_at: number): Promise<CheckedPipeline> {
  const { pipelines } = place;
  for (;;) {
    const id = request.name ?? pipelines.freeId(request.like);
    // The inputs of a pipeline that exists may have changed.
    const checked = await checkPipeline(request, id, place, created_at, pipelines.find(id) === undefined);
    // Another request may have taken the id during the checks.
    if (request.name !== undefined || pipelines.freeId(request.like) === id) return checked;
  }
}

/**
 * Creates a pipeline and adds its runs to the queue, or returns the pipeline that exists.
 *
 * @throws LAP_JOB_NAME_TAKEN if a pipeline with other jobs, or a run, has the name
 */
export async function createPipeline(
  { record, warnings }: CheckedPipeline,
  { runs, pipelines }: PipelinePlace,
  enqueue: (run: Run) => Promise<void>,
): Promise<PipelineSubmitted> {
  const { id } = record;
  const jobs = record.jobs.map(({ name, run, needs }) => ({ name, run, needs }));
  const existing = pipelines.find(id);
  if (existing !== undefined && existing.fingerprint !== record.fingerprint) throw pipelineNameTaken(id);
  if (existing !== undefined)
    return { id, existed: true, jobs, warnings: jobs.flatMap(({ run }) => runs.find(run)?.summary.warnings ?? []) };
  pipelines.create(record);
  try {
    // The last first: no job starts before the jobs that need it are in the queue.
    for (const { run } of [...jobs].reverse()) {
      runs.get(run).warn(warnings.get(run) ?? []);
      await enqueue(runs.get(run));
    }
  } catch (error) {
    if (jobs.every(({ run }) => runs.get(run).state === "queued")) pipelines.discard(id);
    throw error;
  }
  return { id, existed: false, jobs, warnings: [...warnings.values()].flat() };
}

/** Cancels the runs of a pipeline that wait. */
export async function cancelPipeline(
  { id, jobs }: PipelineRecord,
  runs: RunStore,
  cancel: (run: Run) => Promise<Cancelled>,
): Promise<PipelineCancelled> {
  const found = jobs.flatMap(({ run }) => runs.find(run) ?? []);
  const cancelled: string[] = [];
  // The last first: a job that is cancelled ends the jobs that need it.
  for (const run of [...found].reverse())
    if (run.state === "queued" && (await cancel(run)).state === "cancelled") cancelled.unshift(run.id);
  return { id, cancelled, running: found.filter(({ state }) => !isFinal(state)).map((run) => run.id) };
}

/** A key that names the run of another job becomes the directory of that run. */
async function checkPipeline(
  request: PipelineRequest,
  id: string,
  place: PipelinePlace,
  created_at: number,
  checksInputs: boolean,
): Promise<CheckedPipeline> {
  const order = orderJobs(request.jobs, (name) => `jobs.${name}.needs`);
  for (const { name } of order.jobs) checkRunName(runOf(id, name));
  const jobs = resolveJobs(order, id, place);
  const warnings = new Map<string, readonly Warning[]>();
  if (checksInputs) for (const job of jobs) if (!isDataEntry(job)) warnings.set(runOf(id, job.name), await checkJob(job, place));
  const described = jobs.map((job) =>
    isDataEntry(job)
      ? { ...job, priority: job.dataJob.priority, description: describeDataJob(job.dataJob, place.home) }
      : { ...job, priority: job.job.priority, description: describeJob(job.job) },
  );
  const identity = described.map(({ name, needs, description }) => ({ name, needs: [...needs], job: description.fingerprint }));
  return {
    record: {
      id,
      created_at,
      fingerprint: createHash("sha256")
        .update(canonicalJson(asJson(identity)))
        .digest("hex"),
      jobs: described.map(({ name, needs, priority, description }) => ({
        name,
        run: runOf(id, name),
        needs: [...needs],
        new_run: {
          ...description,
          pipeline: id,
          needs: needs.map((need) => runOf(id, need)),
          priority: request.priority ?? priority,
          queue_id: `q-${randomUUID()}`,
        },
      })),
    },
    warnings,
  };
}

const runOf = (pipeline: string, job: string): string => `${pipeline}-${job}`;

function checkRunName(run: string): void {
  if (namePattern.test(run)) return;
  throw new LapidaryError({ code: "LAP_PIPELINE_NAME", message: `the run name ${run} has ${run.length} characters`, location: "name" });
}

interface LocatedPipelineJob {
  readonly name: string;
  readonly needs: readonly string[];
  readonly job: ResolvedJob;
  readonly locationOf: (path: readonly string[]) => string;
  readonly renamed: readonly Warning[];
  readonly isPending: (run: string) => boolean;
}

function resolveJobs(
  order: JobOrder<PipelineRequest["jobs"][number]>,
  id: string,
  { root, runs: { directory } }: PipelinePlace,
): (LocatedPipelineJob | PipelineDataJob)[] {
  const dataJobs = order.jobs.flatMap(({ name, needs, job }): PipelineDataJob[] => {
    const dataJob = dataJobIn(job);
    return dataJob === undefined ? [] : [{ name, needs, dataJob, out: outputOf(dataJob) }];
  });
  const onChips = order.jobs.filter(({ name }) => !dataJobs.some((each) => each.name === name));
  const runs = new Map(onChips.map(({ name }) => [name, join(directory, runOf(id, name))]));
  const nameOfRun = new Map([...runs].map(([name, directory]) => [directory, name]));
  const jobs = onChips.map(({ name, needs, job: value }): LocatedPipelineJob => {
    const pendingData = dataJobs.filter((each) => order.ancestors(name).has(each.name)).map(({ out }) => out);
    const { job, locationOf, warnings } = parsePlacedJob({ job: value, overrides: [] }, root, { runs, runsDirectory: directory });
    return {
      name,
      needs,
      job,
      locationOf: (path) => `jobs.${name}.${locationOf(path)}`,
      renamed: warnings,
      isPending: (run) => nameOfRun.has(run) || pendingData.includes(run),
    };
  });
  const named = jobs.map(({ job, ...rest }) => ({
    ...rest,
    isPending: (run: string) => runs.has(run),
    job: mapRunReferences(job, ({ run }) => nameOfRun.get(run) ?? run),
  }));
  checkRunsOfNeeds(named, order.ancestors);
  checkDataOfNeeds(jobs, dataJobs, order.ancestors);
  return order.jobs.flatMap(({ name }) => [...jobs, ...dataJobs].find((job) => job.name === name) ?? []);
}

async function checkJob(
  { name, job, locationOf, renamed, isPending }: LocatedPipelineJob,
  { root, runs: { directory: runsDirectory } }: PipelinePlace,
): Promise<readonly Warning[]> {
  const warnings = [
    ...renamed,
    ...checkOutput(job, runsDirectory),
    ...(await checkJobInputs(job, { projectRoot: root, locationOf, runsDirectory, isPending })),
    ...jobWarnings(job),
  ];
  return warnings.map((warning) => ({ ...warning, message: `job ${name}: ${warning.message}` }));
}

/** The job as it starts: the directory of a run becomes the newest checkpoint of that run. */
export async function withNewestCheckpoints(job: ResolvedJob): Promise<ResolvedJob> {
  const newest = new Map<string, string>();
  for (const { run } of runReferences(job)) {
    if (!existsSync(join(run, runFiles.identity))) continue;
    const last = (await listCheckpoints(join(run, runFiles.checkpoints))).at(-1);
    if (last !== undefined) newest.set(run, last.path);
  }
  return mapRunReferences(job, ({ run }) => newest.get(run) ?? run);
}
