import { failpointAction, failpointActions, failpointNames, LapidaryError } from "@lapidary/std";
import { z } from "zod";
import { count, floatSchema, sliceSchema } from "./api-values.js";

/**
 * The events of a run, as data. The coordinator records each event in the run's journal, in the `run_event` field of a `log` event:
 *
 *     {"id":7,"event":"log","data":{"time":…,"source":"coordinator","line":"…","run_event":{"type":"worker_lost","worker":1,…}}}
 *
 * Programs read `run_event`; people read `line`, which `describeEvent` makes from it. Committed steps and evaluations are the journal's `metrics` events, and
 * states of the job its `state` events.
 *
 * Invariant: types and fields are only ever added.
 */

const worker = { worker: count, pid: count };

/** A `LapidaryError` in an event. */
const eventErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  place: z.string().optional(),
  /** The code of the operating system, if it is the cause: `ENOSPC`. */
  system_code: z.string().optional(),
});
export type EventError = z.infer<typeof eventErrorSchema>;

export function eventError(error: unknown): EventError {
  if (!(error instanceof LapidaryError)) return { code: "LAP_INTERNAL", message: error instanceof Error ? error.message : String(error) };
  const { code, message, location: place, cause } = error;
  const system_code = systemCodeOf(cause);
  return { code, message, ...(place === undefined ? {} : { place }), ...(system_code === undefined ? {} : { system_code }) };
}

/** The code of the first system error among the causes. */
function systemCodeOf(cause: unknown): string | undefined {
  if (!(cause instanceof Error)) return undefined;
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return syscall !== undefined && code !== undefined ? code : systemCodeOf(cause.cause);
}

// ---- attempts ----

const attemptEvents = [
  z.object({ type: z.literal("attempt_started"), attempt: count }),
  z.object({
    type: z.literal("state_restored"),
    attempt: count,
    /** Training continues after this step. */
    step: count,
    source: z.enum(["initialization", "replica", "checkpoint"]),
    /** Committed steps that are computed again. */
    repeated_steps: count,
    /** Another layout computes the repeated steps anew: their old results no longer count. */
    rewinds: z.boolean(),
    /** Code of the failure that ended the attempt before, if this coordinator saw one. */
    error_code: z.string().optional(),
  }),
  z.object({
    type: z.literal("attempt_failed"),
    attempt: count,
    /** The step that was to be committed next. */
    step: count,
    error: eventErrorSchema,
    /** Whether another attempt can overcome the error. */
    recoverable: z.boolean(),
  }),
  z.object({
    type: z.literal("attempt_ended"),
    attempt: count,
    /** The last committed step. */
    step: count,
    reason: z.enum(["finished", "drained", "regrouped", "batch_skipped", "stopped"]),
  }),
  z.object({ type: z.literal("superseded"), attempt: count, by: count }),
  z.object({ type: z.literal("batch_skipped"), step: count, batch: count, error: eventErrorSchema }),
] as const;

// ---- workers ----

/** Why the coordinator ended a worker that was alive. */
const evictionReasonSchema = z.enum(["no_heartbeat", "no_answer", "no_connection", "did_not_leave", "not_ready"]);
export type EvictionReason = z.infer<typeof evictionReasonSchema>;

const workerEvents = [
  z.object({ type: z.literal("worker_group_started"), attempt: count, slice: sliceSchema, workers: z.array(z.object(worker)) }),
  z.object({ type: z.literal("worker_restarted"), ...worker, previous_pid: count }),
  z.object({ type: z.literal("worker_lost"), ...worker, exit_code: z.number().int().optional(), signal: z.string().optional() }),
  z.object({ type: z.literal("worker_evicted"), ...worker, reason: evictionReasonSchema, waited_ms: z.number().nonnegative() }),
  z.object({ type: z.literal("worker_leave_failed"), error: eventErrorSchema }),
  z.object({ type: z.literal("worker_count_changed"), from: count, to: count, wanted: count }),
  z.object({ type: z.literal("workers_released"), after_ms: z.number().nonnegative(), slice: sliceSchema }),
  z.object({
    type: z.literal("straggler_found"),
    worker: count,
    /** Its compute time divided by that of the median worker. */
    factor: floatSchema,
  }),
  z.object({
    type: z.literal("fault_injected"),
    site: z.enum(failpointNames),
    step: count,
    /** A worker, or `c` for the coordinator. */
    target: z.union([count, z.literal("c")]),
    /** Journals of earlier versions contain former names. */
    action: z.preprocess((name) => (typeof name === "string" ? (failpointAction(name) ?? name) : name), z.enum(failpointActions)),
  }),
] as const;

// ---- checkpoints and replicas ----

const checkpointEvents = [
  z.object({ type: z.literal("checkpoint_written"), step: count, path: z.string(), bytes: count }),
  z.object({ type: z.literal("checkpoint_failed"), step: count, error: eventErrorSchema }),
  z.object({ type: z.literal("checkpoint_verified"), step: count, path: z.string() }),
  z.object({ type: z.literal("checkpoint_rejected"), step: count, error: eventErrorSchema }),
  z.object({ type: z.literal("checkpoint_deleted"), step: count }),
  z.object({
    type: z.literal("replica_stored"),
    step: count,
    bytes: count,
    /** Steps until the next replica. */
    interval: count,
  }),
] as const;

// ---- the job ----

const jobEvents = [
  z.object({
    type: z.literal("tokenizer_ready"),
    ids: count,
    origin: z.enum(["run", "given", "trained"]),
    path: z.string().optional(),
    /** Whether the weights of `train.init` were trained with the ids of another tokenizer. */
    is_new_to_weights: z.boolean().optional(),
  }),
  z.object({
    type: z.literal("dataset_ready"),
    corpus: z.string(),
    documents: count,
    tokens: count,
    heldout_tokens: count,
    unigram_loss: floatSchema,
  }),
  /** Number of entries by reason. */
  z.object({ type: z.literal("documents_skipped"), corpus: z.string(), reasons: z.record(z.string(), count) }),
  /** What a filter did. `kinds`: number of removed examples by kind. */
  z.object({
    type: z.literal("examples_filtered"),
    corpus: z.string(),
    filter: z.string(),
    checked: count,
    removed: count,
    kinds: z.record(z.string(), count),
  }),
  /** Rows that are not used, by error code, and the first of them. */
  z.object({
    type: z.literal("examples_refused"),
    corpus: z.string(),
    reasons: z.record(z.string(), count),
    first: z.array(z.object({ file: z.string(), row: count, code: z.string(), reason: z.string(), remedy: z.string() })),
  }),
  /** Completions of one prompt, and their scores. */
  z.object({
    type: z.literal("completions_sampled"),
    step: count,
    /** `train`: the first prompt of the step. `heldout`: a prompt that every evaluation samples. Absent: `train`. */
    split: z.enum(["train", "heldout"]).optional(),
    completions: z.array(
      z.object({
        prompt: z.string(),
        completion: z.string(),
        score: floatSchema,
        /** `stop`: it ends with a stop token. `length`: it was cut off at the maximum number of tokens. */
        finish_reason: z.enum(["stop", "length"]).optional(),
      }),
    ),
  }),
  /** An event of a user's recipe. */
  z.object({
    type: z.literal("recipe_noted"),
    step: count,
    name: z.string(),
    values: z.record(z.string(), z.union([floatSchema, z.string()])),
  }),
  z.object({ type: z.literal("program_compiled"), program: z.string(), parameters: count, collectives: count }),
  z.object({ type: z.literal("weights_loaded"), path: z.string() }),
  z.object({
    type: z.literal("warning_found"),
    code: z.string(),
    message: z.string(),
    place: z.string().optional(),
    remedy: z.string(),
  }),
  z.object({ type: z.literal("job_taken_over"), resumed: count }),
  z.object({ type: z.literal("cancel_requested") }),
  z.object({ type: z.literal("drain_requested") }),
  z.object({ type: z.literal("job_ended"), state: z.enum(["done", "failed", "cancelled"]), error: eventErrorSchema.optional() }),
] as const;

// ---- the journal itself ----

const journalEvents = [
  z.object({
    type: z.literal("journal_lines_skipped"),
    file: z.string(),
    from_line: count,
    to_line: count,
    cause: z.enum(["damaged", "newer_version"]),
  }),
  z.object({ type: z.literal("stream_event_skipped"), event_id: count, name: z.string(), cause: z.enum(["damaged", "newer_version"]) }),
] as const;

export const runEventSchema = z.discriminatedUnion("type", [
  ...attemptEvents,
  ...workerEvents,
  ...checkpointEvents,
  ...jobEvents,
  ...journalEvents,
]);
export type RunEvent = z.infer<typeof runEventSchema>;
export type RunEventType = RunEvent["type"];
export type RunEventOf<T extends RunEventType> = Extract<RunEvent, { readonly type: T }>;

/** Every type of the union with the names of its fields; a name ends in `?` if the field may be absent. */
export const runEventFields: ReadonlyMap<string, readonly string[]> = new Map(
  runEventSchema.options.map((option) => {
    const { type, ...fields } = option.shape;
    return [type.value, Object.entries(fields).map(([name, field]) => (field instanceof z.ZodOptional ? `${name}?` : name))];
  }),
);

/** An event of a type that a newer version added. It keeps its fields, so that a newer reader gets all of them. */
const laterEventSchema = z
  .object({
    type: z
      .string()
      .max(200)
      .refine((type) => !runEventFields.has(type), "a known type whose fields are wrong"),
  })
  .catchall(z.json());

/** An event as a journal holds it. A known type with wrong fields is an error. */
export const recordedEventSchema = z.union([runEventSchema, laterEventSchema]);
type RecordedEvent = z.infer<typeof recordedEventSchema>;

/** A recorded event with the number and the time of its journal line. */
export type TimedEvent<T extends RunEventType = RunEventType> = RunEventOf<T> & { readonly id: number; readonly time: number };

/** The part of a stream event that `runEventsIn` reads. */
interface JournalEvent {
  readonly id: number;
  readonly event: string;
  readonly data: { readonly time: number; readonly run_event?: RecordedEvent | undefined };
}

/** The event, or undefined if its type is newer than this version. */
function knownEvent(event: RecordedEvent): RunEvent | undefined {
  return runEventFields.has(event.type) ? (event as RunEvent) : undefined;
}

/**
 * The run events of a journal or stream, in order.
 *
 * @returns `skipped`: the number of events whose type is newer than this version
 */
export function runEventsIn(events: Iterable<JournalEvent>): { readonly events: TimedEvent[]; readonly skipped: number } {
  const found: TimedEvent[] = [];
  let skipped = 0;
  for (const { id, event, data } of events) {
    if (event !== "log" || data.run_event === undefined) continue;
    const known = knownEvent(data.run_event);
    if (known === undefined) skipped++;
    else found.push({ ...known, id, time: data.time });
  }
  return { events: found, skipped };
}

/** Whether an event is of a type, for `filter` and `find`. */
export const isOfType =
  <T extends RunEventType>(type: T) =>
  (event: TimedEvent): event is TimedEvent<T> =>
    event.type === type;
