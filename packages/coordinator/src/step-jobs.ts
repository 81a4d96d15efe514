import { createHash } from "node:crypto";
import type { submitRequestSchema } from "@lapidary/api";
import { asJson, canonicalJson, LapidaryError, type Warning } from "@lapidary/std";
import type { NewRun } from "@lapidary/telemetry";
import { printMesh } from "@lapidary/topology";
import { hashOfText, readStepText } from "@lapidary/trainer/imported";
import {
  isStepJob,
  isStepValue,
  type JobText,
  type JobValue,
  meshOf,
  type ResolvedJob,
  type ResolvedStepJob,
  resolveStepJob,
  stepJobFileText,
} from "@lapidary/training";
import type { z } from "zod";
import { checkWritable } from "./check-output.js";

/** A job of the queue: of a model of Lapidary, or of a step that a user exported from JAX. */
export type QueuedJob = ResolvedJob | ResolvedStepJob;

export const isStep = (job: QueuedJob): job is ResolvedStepJob => "step" in job;

/** Whether a job file, as text or as values, names a step. */
export const namesStep = (file: JobText | JobValue): boolean => ("text" in file ? isStepJob(file) : isStepValue(file.value));

/** Whether a request submits an exported step. `lapidary launch` sends such jobs as values. */
export const submitsStep = ({ job }: z.output<typeof submitRequestSchema>): boolean => job !== undefined && isStepValue(job);

/** @throws LAP_IMPORT_INPUT if the text was not read, so that its hash or mesh is missing */
export function parseStepJob(file: JobText | JobValue, overrides: readonly string[], configsDir: string): ResolvedStepJob {
  const { job } = resolveStepJob(file, overrides, { configsDir, base: file.base });
  if (job.step_hash !== undefined && job.mesh.length > 0) return job;
  throw new LapidaryError({
    code: "LAP_IMPORT_INPUT",
    message: "the job has no hash and no mesh of its step",
    location: file.file,
    remedy: "submit it with `lapidary launch`, which reads the step first",
  });
}

/** What the run store records of the job. */
export const describeStepJob = (job: ResolvedStepJob): Omit<NewRun, "name" | "priority" | "queue_id"> => ({
  jobFile: stepJobFileText(job),
  fingerprint: createHash("sha256")
    .update(canonicalJson(asJson({ ...job, priority: 0 })))
    .digest("hex"),
  job: asJson(job),
  model: job.name,
  pod: job.pod.name ?? job.pod.torus,
  mesh: printMesh(meshOf(job)),
  chips: job.chips,
  steps: job.steps,
});

/** Checks the files of the job before it waits for its chips. @throws LAP_IMPORT_CHANGED, LAP_RUNS_UNWRITABLE, or an error of the system */
export function checkStepJob(job: ResolvedStepJob, runsDirectory: string): readonly Warning[] {
  if (hashOfText(readStepText(job.step, job.step)) !== job.step_hash)
    throw new LapidaryError({
      code: "LAP_IMPORT_CHANGED",
      message: "the text of the step has changed since it was read",
      location: job.step,
      remedy: "launch it again",
    });
  checkWritable(runsDirectory);
  return [];
}

/** The keys of a step that a resume may change: they do not decide the numbers that the run computes. */
const changeable: ReadonlySet<string> = new Set([
  "steps",
  "checkpoint",
  "workers",
  "priority",
  "stall_timeout_s",
  "trace_every",
  "executor",
]);

/** @throws LAP_RESUME_CHANGES if the overrides change the result of training */
export function checkStepResume(before: ResolvedStepJob, after: ResolvedStepJob): void {
  const values = (job: ResolvedStepJob): ReadonlyMap<string, unknown> => new Map(Object.entries(job));
  const [old, current] = [values(before), values(after)];
  for (const key of new Set([...old.keys(), ...current.keys()]))
    if (!changeable.has(key) && JSON.stringify(old.get(key)) !== JSON.stringify(current.get(key)))
      throw new LapidaryError({ code: "LAP_RESUME_CHANGES", message: `${key} of a run cannot change when it is resumed`, location: key });
}
