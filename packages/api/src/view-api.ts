import { comparisonSchema } from "./comparison.js";
import type { CompletionSamples } from "./completion-samples.js";
import { type StepTrace, stepTraceSchema } from "./step-traces.js";
import { z } from "zod";
import {
  evalRowSchema,
  jobDetailSchema,
  type JobSummary,
  logLineSchema,
  nameSchema,
  stateEventSchema,
  type Status,
  type StreamEvent,
  warningSchema,
} from "./schemas.js";
import { floatSchema } from "./api-values.js";

/**
 * The additional routes of the page: the same data as in the API, reduced to what a screen can show.
 *
 *     GET  /api/live                                     server-sent: `all` {status, jobs}, then `change`
 *     GET  /api/watch?run=ID:N&run=…                     server-sent: `all`, `change`, and of each run a `run` (watchedRun) or `frames`: one stream
 *                                                        for all tabs of a browser, which has six connections to a host
 *     GET  /api/jobs/:id/snapshot                        snapshot: all but the program, up to number `last_id`
 *     GET  /api/jobs/:id/live?after=N                    server-sent: `events` with a list of streamEvent, `reset`, `end`
 *     GET  /api/jobs/:id/frames                          binary frames (frames.ts): chips, then each step's times by worker
 *     GET  /api/jobs/:id/program                         programView
 *     GET  /api/jobs/:id/series?from=&to=&points=        series of a range of steps
 *     GET  /api/jobs/:id/worker-steps?from=&to=&points=  one binary frame
 *     GET  /api/jobs/:id/step-trace?step=                recordedStep: every call of the newest recorded step up to that one
 *     GET  /api/jobs/:id/log-lines?text=&source=&before=&limit=   logPage, newest first
 *     GET  /api/jobs/:id/page.html                       the page of this run as one file
 *     GET  /api/job-files                                jobFiles of the project
 *     POST /api/validate {yaml, overrides, path}         validated: the job with all defaults, or the jobs of a pipeline
 *     POST /api/pipelines/launch {yaml, overrides, path} pipelineSubmitted: as POST /api/pipelines, with the text of a pipeline file
 *     GET  /metrics                                      Prometheus text
 *     GET  /api/openapi.json                             all of this
 */

const count = z.number().int().nonnegative();
const numbers = z.array(floatSchema);

export const seriesSchema = z.object({
  width: count,
  step: z.array(count),
  columns: z.record(z.string(), z.object({ min: numbers, max: numbers, last: numbers })),
});

const id = z.object({ id: count });

const samplesSchema: z.ZodType<CompletionSamples> = z.object({
  step: count,
  split: z.enum(["train", "heldout"]),
  prompt: z.string(),
  completions: z.array(z.object({ completion: z.string(), score: floatSchema, finish_reason: z.enum(["stop", "length"]).optional() })),
});

export const snapshotSchema = z.object({
  /** Number of the last event in this snapshot. The stream has later events. */
  last_id: count,
  job: jobDetailSchema,
  series: seriesSchema,
  evals: z.array(evalRowSchema),
  states: z.array(stateEventSchema.extend(id.shape)),
  /** The newest lines, oldest first, and the number of all lines. */
  logs: z.array(logLineSchema.extend(id.shape)),
  log_count: count,
  /** The newest lines that describe run events, oldest first. */
  run_events: z.array(logLineSchema.extend(id.shape)).optional(),
  /** The job with all defaults, as it runs. */
  yaml: z.string(),
  has_program: z.boolean(),
  report: z.unknown().optional(),
  /** Completions that the run sampled, oldest first. */
  samples: z.array(samplesSchema).optional(),
  /** The report of a run that compares two models. */
  comparison: comparisonSchema.optional(),
});
export type Snapshot = z.infer<typeof snapshotSchema>;

export const rangeQuerySchema = z.strictObject({
  from: z.coerce.number().int().min(0).default(0),
  to: z.coerce.number().int().min(0).default(Number.MAX_SAFE_INTEGER),
  points: z.coerce.number().int().min(2).max(2000).default(600),
});

export const stepQuerySchema = z.strictObject({ step: z.coerce.number().int().min(0).optional() });

/** Steps that were recorded call by call, and one of them. */
export const recordedStepSchema = z.object({ steps: z.array(count), trace: stepTraceSchema.nullable() });
export type RecordedStep = Omit<z.infer<typeof recordedStepSchema>, "trace"> & { readonly trace: StepTrace | null };

export const liveQuerySchema = z.strictObject({ after: z.coerce.number().int().min(0).default(0) });

/** `run=ID:N`, once for each run: its id, and the number of the last received event. The URL has to fit into a request. */
const watchedSchema = z
  .string()
  .regex(/^[^:]{1,128}:\d{1,15}$/, "expected ID:NUMBER")
  .transform((text) => ({ id: text.slice(0, text.indexOf(":")), after: Number(text.slice(text.indexOf(":") + 1)) }));
export const watchQuerySchema = z.strictObject({
  run: z.preprocess((value) => (typeof value === "string" ? [value] : value), z.array(watchedSchema).max(128)).default([]),
});

/** Data of `change` in the streams of `/api/live` and `/api/watch`. */
export interface OverviewChange {
  readonly jobs?: readonly JobSummary[];
  /** Runs that are no longer in the list. */
  readonly gone?: readonly string[];
  readonly status?: Status;
}

/** Data of `run` and of `frames` in the stream of `/api/watch`. */
export type RunMessage =
  | { readonly id: string; readonly kind: "events"; readonly events: readonly StreamEvent[] }
  /** Too many events were missed, so the page needs a new snapshot. */
  | { readonly id: string; readonly kind: "reset" }
  /** No more events follow, because the run has ended or cannot be read. */
  | { readonly id: string; readonly kind: "end"; readonly error?: unknown };
export interface WatchedFrames {
  readonly id: string;
  /** Frames of `frames.ts`. */
  readonly base64: string;
}

export const logQuerySchema = z.strictObject({
  /** Only lines that contain this text, in upper or lower case. */
  text: z.string().max(400).default(""),
  source: z.string().max(80).default(""),
  /** Only lines with a number below this. */
  before: z.coerce.number().int().min(0).default(Number.MAX_SAFE_INTEGER),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
});
export const logPageSchema = z.object({ lines: z.array(logLineSchema.extend(id.shape)), more: z.boolean() });
export type LogPage = z.infer<typeof logPageSchema>;

/** `kind` is that of the folder: `configs/jobs` or `configs/pipelines`. */
export const jobFilesSchema = z.object({
  files: z.array(z.object({ name: z.string(), path: z.string(), text: z.string(), kind: z.enum(["job", "pipeline"]).optional() })),
});
export type JobFiles = z.infer<typeof jobFilesSchema>;

export const validateRequestSchema = z.strictObject({
  /** The text of a job file or of a pipeline file. */
  yaml: z.string().max(256 * 1024),
  overrides: z.array(z.string().max(4096)).max(256).default([]),
  /** The pipeline file that `yaml` is an edit of, relative to the project's root: paths in the text are relative to it. */
  path: z.string().max(400).optional(),
});

export const launchPipelineSchema = validateRequestSchema.extend({
  name: nameSchema.optional(),
  priority: z.number().int().min(-1000).max(1000).optional(),
});
export const validatedSchema = z.object({
  name: z.string(),
  yaml: z.string(),
  chips: count,
  mesh: z.string(),
  /** The jobs of a pipeline, each after the jobs that it needs; absent for a job. `chips` and `mesh` are then those of its largest job. */
  jobs: z.array(z.object({ name: nameSchema, needs: z.array(nameSchema), chips: count, mesh: z.string() })).optional(),
  warnings: z.array(warningSchema).default([]),
});
export type Validated = z.infer<typeof validatedSchema>;
