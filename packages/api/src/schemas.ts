import { assert, ExitCode } from "@lapidary/std";
import { z } from "zod";
import { count, floatSchema, sliceSchema, time_ms } from "./api-values.js";
import { modelComparisonSchema } from "./model-comparison.js";
import { recordedEventSchema } from "./run-events.js";

/**
 * The HTTP API of the coordinator: every body as a schema, and the type that follows from it. Both sides use these schemas: the server checks requests,
 * the client checks responses.
 *
 *     GET  /api/status                               status
 *     POST /api/jobs                                 submitRequest → submitted
 *     GET  /api/jobs?state=&limit=&cursor=           jobList, newest first
 *     GET  /api/jobs/:id                             jobDetail
 *     POST /api/jobs/:id/cancel                      cancelled
 *     POST /api/jobs/:id/resume                      resumeRequest → resumed, for a job that failed or was cancelled
 *     GET  /api/jobs/:id/stream?follow=              server-sent events, each a streamEvent; `Last-Event-ID` resumes
 *     GET  /api/jobs/:id/metrics?from=&limit=        metricsPage
 *     GET  /api/jobs/:id/logs?worker=&from=&limit=   logsPage
 *     GET  /api/jobs/:id/report                      report, once the job is done
 *     GET  /api/jobs/:id/checkpoints                 checkpointList
 *     POST /api/pipelines                            submitPipeline → pipelineSubmitted
 *     GET  /api/pipelines/:id                        pipeline
 *     POST /api/pipelines/:id/cancel                 pipelineCancelled: the jobs that wait are cancelled
 *     POST /api/shutdown                             shutdownRequest → stopping
 *
 * Every request has `Authorization: Bearer TOKEN`. Port and token are in `coordinator.json` of the state directory, which only its
 * owner can read. A failed request has an `errorBody`. Times are milliseconds since the epoch, losses nats per token.
 *
 * Invariant: fields are only ever added.
 */

/** Run ids and job names. They are also directory names and queue keys, so the characters are restricted. */
export const namePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;
export const nameSchema = z
  .string()
  .regex(namePattern, "must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit")
  .regex(/[^0-9]/, "must not be all digits");

/**
 *     queued ─► compiling ─► placing ─► running ─► done
 *        └──────────┴───────────┴──────────┴─────► failed, cancelled
 */
export const jobStates = ["queued", "compiling", "placing", "running", "done", "failed", "cancelled"] as const;
const jobStateSchema = z.enum(jobStates);
export type JobState = z.infer<typeof jobStateSchema>;

const finalStates = ["done", "failed", "cancelled"] as const satisfies readonly JobState[];
export const isFinal = (state: JobState): boolean => finalStates.some((final) => final === state);

/** A newer coordinator may have more states. */
const exitSchema = z.literal(Object.values(ExitCode)).catch(ExitCode.other);

const float = floatSchema;

/** A `LapidaryError` in a message. */
export const errorSchema = z.object({
  code: z.string(),
  message: z.string(),
  place: z.string().optional(),
  remedy: z.string(),
  exit: exitSchema,
});
export type ErrorJson = z.infer<typeof errorSchema>;
export const errorBodySchema = z.object({
  error: errorSchema,
  /** The code of the first zod issue, if a schema refused the request. */
  issue: z.string().optional(),
});
export type ErrorBody = z.infer<typeof errorBodySchema>;

/** A `Warning` in a message: a finding that does not stop the job. */
export const warningSchema = errorSchema.omit({ exit: true });
export type WarningJson = z.infer<typeof warningSchema>;

/** `coordinator.json`: the address and token of the coordinator of a state directory. */
export const connectionSchema = z.object({
  pid: count,
  port: count,
  token: z.string().min(32),
  version: z.string(),
  started_at: time_ms,
});
export type Connection = z.infer<typeof connectionSchema>;

// ---- requests with jobs ----

export const submitRequestSchema = z
  .strictObject({
    /** A resolved job file as JSON, as `lapidary launch` sends it. Give one of `job`, `yaml` and `path`. */
    job: z.record(z.string(), z.unknown()).optional(),
    /** The text of a job file. */
    yaml: z
      .string()
      .max(256 * 1024)
      .optional(),
    /** Whether Lapidary printed `yaml`: errors name keys of the job, because the user did not write its lines. */
    printed: z.boolean().optional(),
    /** The base of relative paths in `yaml`, in overrides and in `path`: absolute; the project's root by default. */
    base: z.string().optional(),
    /** A job file on the coordinator's machine. Paths in it are relative to it. */
    path: z.string().min(1).optional(),
    /** `key=value` pairs applied after the file. */
    overrides: z.array(z.string().max(4096)).max(256).default([]),
    /** The run's id. If the same job is submitted again under this name, the response names the existing run. */
    name: nameSchema.optional(),
    /** Jobs with a higher priority run first, then earlier jobs. Default: the priority in the job file. */
    priority: z.number().int().min(-1000).max(1000).optional(),
  })
  .refine(({ job, yaml, path }) => [job, yaml, path].filter((given) => given !== undefined).length === 1, "give one of job, yaml and path");
export type SubmitRequest = z.input<typeof submitRequestSchema>;

export const submittedSchema = z.object({
  id: nameSchema,
  state: jobStateSchema,
  /** Whether a run of this name and content existed before. */
  existed: z.boolean(),
  /** Findings that do not stop the job. */
  warnings: z.array(warningSchema).default([]),
});
export type Submitted = z.infer<typeof submittedSchema>;

// ---- jobs in responses ----

/** The current work within the state of a job: "train the tokenizer" 12 of 40. */
const activitySchema = z.object({ what: z.string(), done: float.optional(), total: float.optional() });
export type Activity = z.infer<typeof activitySchema>;

/** The use of a run's time since its start, under all its coordinators. The time between its end and a resume by the user does not count. */
const goodputSchema = z.object({
  /** The time of this report. */
  time: float.default(0),
  /** Time of committed steps. */
  ratio: float,
  committed_ms: float,
  wall_ms: float,
  /**
   * Data, compilation and placing; failures until training continues; steps that repeat committed ones; evaluations; waiting for checkpoints; steps that failed;
   * without a coordinator.
   */
  lost_ms: z.object({
    setup: float,
    recover: float,
    replay: float,
    evaluate: float,
    checkpoint: float,
    failed: float,
    stopped: float.default(0),
  }),
  /** Failed attempts after which another attempt started. */
  failures: count,
  /** The longest time from a failure to the next new step. */
  worst_recovery_ms: float,
});
export type GoodputReport = z.infer<typeof goodputSchema>;

/** Further metrics of the recipe of a run, such as `accuracy` or `reward`. */
const recipeMetricsSchema = z.record(z.string(), float);

export const jobSummarySchema = z.object({
  id: nameSchema,
  state: jobStateSchema,
  activity: activitySchema.optional(),
  /** The pipeline that it belongs to. */
  pipeline: nameSchema.optional(),
  /** Runs of the pipeline that must be done before it starts; only while it waits for them. */
  waiting_for: z.array(nameSchema).optional(),
  priority: z.number().int(),
  model: z.string(),
  pod: z.string(),
  /** `data=16,model=16` */
  mesh: z.string(),
  chips: count,
  created_at: time_ms,
  started_at: time_ms.optional(),
  finished_at: time_ms.optional(),
  /** Steps whose metrics have arrived. */
  step: count,
  steps: count,
  loss: float.optional(),
  tokens_per_s: float.optional(),
  eta_s: float.optional(),
  /** Of the last step. */
  metrics: recipeMetricsSchema.optional(),
  heldout_loss: float.optional(),
  /** By source, of a run that trains on a mixture. */
  heldout_losses: z.record(z.string(), float).optional(),
  unigram_loss: float.optional(),
  slice: sliceSchema.optional(),
  error: errorSchema.optional(),
  /** How often the run was resumed, after its end or after the end of its coordinator. */
  resumed: count.optional(),
  goodput: goodputSchema.optional(),
  /** Findings that do not stop the job; absent without findings. */
  warnings: z.array(warningSchema).optional(),
  /** The name under `/api/data` of what a data pipeline writes. Its steps are the stages of the pipeline. */
  dataset: z.string().optional(),
});
export type JobSummary = z.infer<typeof jobSummarySchema>;

export const jobListSchema = z.object({ jobs: z.array(jobSummarySchema), next_cursor: z.string().optional() });
export type JobList = z.infer<typeof jobListSchema>;

export const jobDetailSchema = jobSummarySchema.extend({
  /** The resolved job file. */
  job: z.unknown(),
  directory: z.string(),
  parameters: count.optional(),
  workers: z.array(z.object({ worker: count, pid: count })).optional(),
});
export type JobDetail = z.infer<typeof jobDetailSchema>;

export const jobQuerySchema = z.strictObject({
  state: z
    .string()
    .transform((text) => text.split(","))
    .pipe(z.array(jobStateSchema))
    .optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  cursor: nameSchema.optional(),
});

export const cancelledSchema = z.object({
  id: nameSchema,
  /** The current state: `cancelled`, or the earlier state while the job stops. */
  state: jobStateSchema,
});
export type Cancelled = z.infer<typeof cancelledSchema>;

export const resumeRequestSchema = z
  .strictObject({
    /** `key=value` pairs: another mesh, ZeRO stage or number of workers, more steps. Model, seed, data and optimizer may not change. */
    overrides: z.array(z.string().max(4096)).max(256).default([]),
  })
  .prefault({});
export type ResumeRequest = z.input<typeof resumeRequestSchema>;

export const resumedSchema = z.object({
  id: nameSchema,
  state: jobStateSchema,
  /** The step after which it continues: that of its newest checkpoint; 0 if it has none. */
  from_step: count,
  /** Whether it is a data pipeline: it computes what its output lacks, and has no checkpoint. */
  goes_on: z.boolean().optional(),
  warnings: z.array(warningSchema).default([]),
});
export type Resumed = z.infer<typeof resumedSchema>;

// ---- pipelines: jobs that wait for one another ----

export const submitPipelineSchema = z.strictObject({
  /** The pipeline's id. If the same pipeline is submitted again under this id, the response names the existing runs. */
  name: nameSchema.optional(),
  /** The beginning of the id without a `name`: `two-stage` becomes `two-stage-1`. */
  like: nameSchema,
  priority: z.number().int().min(-1000).max(1000).optional(),
  jobs: z
    .array(
      z.strictObject({
        /** The id of its run is `PIPELINE-NAME`. */
        name: nameSchema,
        /** Jobs of the pipeline that must be done before it starts. */
        needs: z.array(nameSchema).max(64).default([]),
        /** A resolved job file as JSON. A key that names a run may be the name of a job that must be done before. */
        job: z.record(z.string(), z.unknown()),
      }),
    )
    .min(1)
    .max(256),
});
export type SubmitPipeline = z.input<typeof submitPipelineSchema>;

const pipelineJobSchema = z.object({
  name: nameSchema,
  /** The id of its run. */
  run: nameSchema,
  needs: z.array(nameSchema),
});

export const pipelineSubmittedSchema = z.object({
  id: nameSchema,
  existed: z.boolean(),
  /** Each job comes after the jobs that it needs. */
  jobs: z.array(pipelineJobSchema),
  warnings: z.array(warningSchema).default([]),
});
export type PipelineSubmitted = z.infer<typeof pipelineSubmittedSchema>;

export const pipelineDetailSchema = z.object({
  id: nameSchema,
  /** `failed` if a job failed, else `cancelled` if one was cancelled. Before the end of all jobs `running`, or `queued` if none has started. */
  state: z.enum(["queued", "running", ...finalStates]),
  created_at: time_ms,
  /** `summary` is absent if the directory of the run was removed. */
  jobs: z.array(pipelineJobSchema.extend({ summary: jobSummarySchema.optional() })),
});
export type PipelineDetail = z.infer<typeof pipelineDetailSchema>;

export const pipelineCancelledSchema = z.object({
  id: nameSchema,
  /** Runs that waited and are cancelled now. */
  cancelled: z.array(nameSchema),
  /** Runs that go on. */
  running: z.array(nameSchema),
});
export type PipelineCancelled = z.infer<typeof pipelineCancelledSchema>;

// ---- metrics, logs, events ----

const trainRowSchema = z.object({
  kind: z.literal("train"),
  time: time_ms,
  /** The number of updates, from 1. */
  step: count,
  loss: float,
  /** Absent, like the learning rate, if the step of a user has no such result. */
  grad_norm: float.optional(),
  learning_rate: float.optional(),
  tokens_per_s: float,
  step_ms: float,
  eta_s: float,
  metrics: recipeMetricsSchema.optional(),
});

export const evalRowSchema = z.object({
  kind: z.literal("eval"),
  time: time_ms,
  step: count,
  heldout_loss: float,
  /** The loss of a unigram model of the training tokens on the same tokens. */
  unigram_loss: float,
  tokens: count,
  metrics: recipeMetricsSchema.optional(),
});

export const metricsRowSchema = z.discriminatedUnion("kind", [trainRowSchema, evalRowSchema]);
export type MetricsRow = z.infer<typeof metricsRowSchema>;
export type TrainRow = z.infer<typeof trainRowSchema>;
export type EvalRow = z.infer<typeof evalRowSchema>;

/** Rows by their number, from 0. */
export const pageQuerySchema = z.strictObject({
  from: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000),
});
export const metricsPageSchema = z.object({
  metrics: z.array(metricsRowSchema),
  /** Unreadable rows, which this page omits. */
  unreadable: count.optional(),
  /** `from` of the next page; absent on the last page. */
  next_from: count.optional(),
});
export type MetricsPage = z.infer<typeof metricsPageSchema>;

export const logLineSchema = z.object({
  time: time_ms,
  /** `coordinator`, `worker 0`, … */
  source: z.string(),
  line: z.string(),
  /** The event that the line describes; absent for output of workers and in lines of earlier versions. */
  run_event: recordedEventSchema.optional(),
});
export type LogLine = z.infer<typeof logLineSchema>;

export const logsQuerySchema = pageQuerySchema.extend({ worker: z.coerce.number().int().min(0).optional() });
export const logsPageSchema = z.object({ lines: z.array(logLineSchema), next_from: count.optional() });
export type LogsPage = z.infer<typeof logsPageSchema>;

export const stateEventSchema = z.object({
  time: time_ms,
  state: jobStateSchema,
  activity: activitySchema.optional(),
  slice: sliceSchema.optional(),
  workers: z.array(z.object({ worker: count, pid: count })).optional(),
  /** Training continues after this step; rows of later steps are sent again, because another layout computes them. */
  from_step: count.optional(),
  /** How often the run was resumed, including this time. */
  resumed: count.optional(),
  /** Runs that must be done before it starts. */
  waiting_for: z.array(nameSchema).optional(),
});
export type StateEvent = z.infer<typeof stateEventSchema>;

const doneEventSchema = z.object({ time: time_ms, state: z.enum(finalStates), error: errorSchema.optional() });
export type DoneEvent = z.infer<typeof doneEventSchema>;

/** `follow=false` ends the stream after the events so far. */
export const streamQuerySchema = z.strictObject({
  follow: z
    .enum(["true", "false"])
    .default("true")
    .transform((text) => text === "true"),
});

/** One server-sent event: `id` and `event` are its fields, `data` the JSON of its data. After `done` the stream ends. */
export const streamEventSchema = z.discriminatedUnion("event", [
  z.object({ id: count, event: z.literal("state"), data: stateEventSchema }),
  z.object({ id: count, event: z.literal("metrics"), data: metricsRowSchema }),
  z.object({ id: count, event: z.literal("log"), data: logLineSchema }),
  z.object({ id: count, event: z.literal("done"), data: doneEventSchema }),
]);
export type StreamEvent = z.infer<typeof streamEventSchema>;
export const streamEventNames: readonly string[] = streamEventSchema.options.map(({ shape }) => shape.event.value);

// ---- the report of a finished job ----

const collectiveSchema = z.object({
  op: z.string(),
  /** The mesh axes it runs over, joined by `+`: `data`, `model:(1)4`, `data+model`. */
  axis: z.string(),
  /** In one step. */
  count,
  /** Bytes that one chip sends in one step, for all of these collectives. */
  bytes_per_chip: float,
  /** The reason of the largest of these collectives. */
  why: z.string(),
});
const trainingReportSchema = z.object({
  id: nameSchema,
  model: z.string(),
  parameters: count,
  chips: count,
  workers: count,
  mesh: z.string(),
  slice: sliceSchema,
  zero: z.number().int(),
  steps: count,
  tokens: count,
  train_loss: float,
  heldout_loss: float,
  /** By source, of a run that trains on a mixture. */
  heldout_losses: z.record(z.string(), float).optional(),
  unigram_loss: float,
  sample: z.object({ prompt: z.string(), text: z.string() }),
  /** Absolute path of the last checkpoint. */
  checkpoint: z.string(),
  bytes_per_chip: z.object({ params: count, optimizer: count, gradients: count }),
  /** Of the train step, most bytes first. */
  collectives: z.array(collectiveSchema),
  timings_ms: z.object({
    prepare: float,
    compile: float,
    place: float,
    load: float,
    train: float,
    evaluate: float,
    checkpoint: float,
    sample: float,
    total: float,
  }),
  tokens_per_s: float,
  warnings: z.array(warningSchema).default([]),
});
export type TrainingReport = z.infer<typeof trainingReportSchema>;

/** The report of a job of the recipe compare, which trains nothing. */
const comparisonReportSchema = trainingReportSchema
  .pick({ id: true, model: true, parameters: true, chips: true, workers: true, mesh: true, slice: true, zero: true, warnings: true })
  .extend({ comparison: modelComparisonSchema, answers: z.string(), text: z.string(), total_ms: float });
export type ComparisonReport = z.infer<typeof comparisonReportSchema>;

/** The report of a job that ran a data pipeline. */
const dataReportSchema = z.object({
  id: nameSchema,
  /** The directory of the dataset, and its name under `/api/data`. */
  out: z.string(),
  dataset: z.string(),
  /** Objects that the job computed, and those that it found. */
  computed: count,
  found: count,
  sources: z.record(z.string(), z.object({ documents: count, tokens: count, bytes: count })),
  /** Documents that came in and that stay. */
  documents_in: count,
  documents: count,
  total_ms: float,
  warnings: z.array(warningSchema).default([]),
});
export type DataReport = z.infer<typeof dataReportSchema>;

/** The report of a job that trained a step which a user exported from JAX. It has no text and no held-out loss. */
const stepReportSchema = trainingReportSchema
  .omit({ heldout_loss: true, heldout_losses: true, unigram_loss: true, sample: true, zero: true })
  .extend({
    /** The file of the step. */
    step_file: z.string(),
    /** Scalar results of the last step. */
    metrics: recipeMetricsSchema,
  });
export type StepReport = z.infer<typeof stepReportSchema>;

export const reportSchema = z.union([comparisonReportSchema, stepReportSchema, trainingReportSchema, dataReportSchema]);
export type Report = z.infer<typeof reportSchema>;

/** The report of a job that trained. @throws if the job did something else */
export function trainingReport(report: Report): TrainingReport {
  assert(isTraining(report), "the job trained a model of Lapidary", report.id);
  return report;
}

/** Whether a job trained a model of Lapidary. */
export const isTraining = (report: Report): report is TrainingReport => "heldout_loss" in report && !("comparison" in report);
export const isDataReport = (report: Report): report is DataReport => "computed" in report;
export const isStepReport = (report: Report): report is StepReport => "step_file" in report;

export const isComparison = (report: Report): report is ComparisonReport => "comparison" in report;

const checkpointSchema = z.object({
  step: count,
  path: z.string(),
  bytes: count,
  time: time_ms,
  heldout_loss: float.optional(),
});
export type CheckpointEntry = z.infer<typeof checkpointSchema>;
export const checkpointListSchema = z.object({ checkpoints: z.array(checkpointSchema) });
export type CheckpointList = z.infer<typeof checkpointListSchema>;

// ---- the coordinator itself ----

export const statusSchema = z.object({
  version: z.string(),
  pid: count,
  port: count,
  started_at: time_ms,
  home: z.string(),
  redis: z.object({ address: z.string(), connected: z.boolean() }),
  workers: z.array(z.object({ worker: count, pid: count, job: z.string().optional() })),
  /** The emulated pods; absent before the first job. */
  pods: z
    .object({
      name: z.string(),
      torus: z.string(),
      pods: count,
      chips: count,
      free_chips: count,
      slices: z.array(sliceSchema.extend({ job: z.string() })),
    })
    .optional(),
  /** Jobs by state. */
  jobs: z.record(jobStateSchema, count),
});
export type Status = z.infer<typeof statusSchema>;

/** By default running jobs are cancelled with the reason "coordinator stopped"; queued jobs stay in the queue. */
export const shutdownRequestSchema = z.strictObject({}).default({});
export const stoppingSchema = z.object({ stopping: z.literal(true) });
