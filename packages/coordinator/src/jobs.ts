import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { asJson, canonicalJson, counted, type JsonValue, LapidaryError, ensure, replaceFile } from "@lapidary/std";
import { parseTorus, printMesh } from "@lapidary/topology";
import {
  type InitNames,
  type JobText,
  type JobValue,
  hasSameHistory,
  jobFileText,
  loadLocatedJob,
  meshOf,
  type LocatedJob,
  type ResolvedJob,
  type ResolvedStepJob,
  resolveJob,
  resolveLocatedJob,
} from "@lapidary/training";
import { locatedWithLossChunks, withLossChunks } from "@lapidary/trainer/recipes";
import { z } from "zod";
import type { submitRequestSchema } from "@lapidary/api";
import { checkSliceFits, type SliceRequest } from "./pods.js";
import { readJobFile } from "@lapidary/api/job-file";
import { checkStepResume, isStep, namesStep, parseStepJob, type QueuedJob } from "./step-jobs.js";
import { type Run, runFiles, type NewRun } from "@lapidary/telemetry";

const configsDir = (root: string): string => join(root, "configs");

/**
 * The job of a request.
 *
 * @throws LapidaryError with exit code 2 for unknown or missing keys, 4 for a job that does not fit its chips
 */
export const parseJob = (request: z.output<typeof submitRequestSchema>, root: string): ResolvedJob => parsePlacedJob(request, root).job;

/**
 * The job of a request, with the locations of its keys.
 *
 * @param names the runs that its `init` may name
 */
export function parsePlacedJob(request: z.output<typeof submitRequestSchema>, root: string, names: InitNames = {}): LocatedJob {
  const { path, overrides, base = root } = request;
  const environment = { ...names, configsDir: configsDir(root), base };
  const placed = locatedWithLossChunks(
    path === undefined ? resolveLocatedJob(givenJob(request, base), overrides, environment) : loadLocatedJob(path, overrides, environment),
    root,
  );
  checkSliceFits(sliceOf(placed.job));
  return placed;
}

const givenJob = ({ job, yaml, printed }: z.output<typeof submitRequestSchema>, base: string): JobText | JobValue =>
  job === undefined ? { text: ensure(yaml, "yaml"), file: "job", base, isPrinted: printed } : { value: job, file: "job", base };

/** The job of a request that submits an exported step. */
export function submittedStep(
  { job = {}, overrides, base }: z.output<typeof submitRequestSchema>,
  root: string,
): { readonly job: ResolvedStepJob } {
  const step = parseStepJob({ value: job, file: "job", base: base ?? root }, overrides, configsDir(root));
  checkSliceFits(sliceOf(step));
  return { job: step };
}

/** What the run store records of a job. */
export function describeJob(job: ResolvedJob): Omit<NewRun, "name" | "priority" | "queue_id"> {
  return {
    jobFile: jobFileText(job),
    fingerprint: createHash("sha256")
      .update(canonicalJson(asJson({ ...job, priority: 0 })))
      .digest("hex"),
    job: asJson(job),
    model: job.model.name,
    pod: sliceOf(job).kind.name,
    mesh: printMesh(meshOf(job)),
    chips: job.chips,
    steps: job.train.steps,
  };
}

/** The job of a run: its job file, which needs no other file, and the overrides of each resume. */
export function jobOfRun(run: Run, root: string): QueuedJob {
  return jobWith(run, root, resumeOverrides(run));
}

function jobWith(run: Run, root: string, overrides: readonly string[]): QueuedJob {
  const file = readJobFile(run.directory);
  if (namesStep(file)) return parseStepJob(file, overrides, configsDir(root));
  const job = resolveJob(file, [...overrides], { configsDir: configsDir(root), base: run.directory });
  return withLossChunks(job, root);
}

const resumeSchema = z.strictObject({ overrides: z.array(z.string()) });

function resumeOverrides(run: Run): string[] {
  const path = join(run.directory, runFiles.resume);
  return existsSync(path) ? resumeSchema.parse(JSON.parse(readFileSync(path, "utf8"))).overrides : [];
}

/**
 * Writes the overrides of a resume, after those of earlier ones.
 *
 * @throws LAP_RESUME_CHANGES if the overrides change the training result; any error of a job that does not fit
 */
export function prepareResume(run: Run, root: string, overrides: readonly string[]): void {
  const all = [...resumeOverrides(run), ...overrides];
  const [before, after] = [jobOfRun(run, root), jobWith(run, root, all)];
  checkSliceFits(sliceOf(after));
  if (isStep(before) && isStep(after)) checkStepResume(before, after);
  else if (!isStep(before) && !isStep(after)) checkModelResume(run, before, after);
  if (overrides.length > 0) replaceFile(join(run.directory, runFiles.resume), `${JSON.stringify({ overrides: all })}\n`);
}

function checkModelResume(run: Run, before: ResolvedJob, after: ResolvedJob): void {
  for (const [part, of] of Object.entries(immutableOnResume)) {
    const found = firstDifference(of(before), of(after), part);
    // Below `model`, a resolved job has other names than a job file.
    const key = found === undefined ? undefined : part === "model" ? part : found;
    if (key !== undefined)
      throw new LapidaryError({
        code: "LAP_RESUME_CHANGES",
        message: `${key} of a run cannot change when it is resumed`,
        location: key,
      });
  }
  checkHistory(run, before, after);
}

/** Weights of steps that the run has trained cannot change. @throws LAP_MIXTURE_HISTORY */
function checkHistory({ summary: { step } }: Run, before: ResolvedJob, after: ResolvedJob): void {
  if (hasSameHistory(before, after, step)) return;
  throw new LapidaryError({
    code: "LAP_MIXTURE_HISTORY",
    message: `the run has trained ${counted(step, "step")}, and data.mixture has other weights for them now`,
    location: "data.mixture",
  });
}

/** The first key under which two values differ: `train.optimizer.lr`. */
function firstDifference(a: JsonValue, b: JsonValue, key: string): string | undefined {
  if (canonicalJson(a) === canonicalJson(b)) return undefined;
  if (!isObject(a) || !isObject(b)) return key;
  for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference(a[name] ?? null, b[name] ?? null, `${key}.${name}`);
    if (found !== undefined) return found;
  }
  return key;
}

const isObject = (value: JsonValue): value is { readonly [key: string]: JsonValue } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The keys that decide the numbers that a run computes, on any hardware. */
const immutableOnResume: Readonly<Record<string, (job: ResolvedJob) => JsonValue>> = {
  recipe: ({ recipe = "pretrain" }) => recipe,
  recipe_hash: ({ recipe_hash = null }) => recipe_hash,
  options: ({ options }) => asJson(options ?? null),
  sets: ({ sets }) => asJson(sets ?? null),
  lora: ({ lora }) => asJson(lora ?? null),
  // The checkpoint is the reference of these recipes, and not only their start.
  "train.init": ({ recipe, train }) => (recipe === "rl" || recipe === "dpo" ? (train.init ?? null) : null),
  reward: ({ reward }) => asJson(reward ?? null),
  rl: ({ rl }) => asJson(rl ?? null),
  dpo: ({ dpo }) => asJson(dpo ?? null),
  candidate: ({ candidate }) => candidate ?? null,
  baseline: ({ baseline }) => baseline ?? null,
  judge: ({ judge }) => asJson(judge ?? null),
  compare: ({ compare, orders }) => asJson(compare === undefined ? null : { ...compare, orders }),
  model: ({ model }) => asJson(model),
  seed: ({ seed }) => seed,
  // The stages that have not begun may change, and `checkHistory` compares the others.
  data: ({ data: { mixture: _, repeat: __, ...data } }) => asJson(data),
  train: ({ train: { steps: _, eval: __, init: ___, ...train } }) => asJson(train),
};

export function sliceOf({ pod, pods, slice }: Pick<ResolvedJob, "pod" | "pods" | "slice">): SliceRequest {
  return { kind: { name: pod.name ?? pod.torus, torus: parseTorus(pod.torus) }, dims: parseTorus(slice).dims, pods };
}
