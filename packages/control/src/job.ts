import { createHash } from "node:crypto";
import { canonicalJson, errorFromJSON, isErrorJSON, isSystemError, type JsonValue, LapidaryError, systemError } from "@lapidary/std";

/** A job to submit. */
export interface JobRequest {
  /** Unique, never reused: matches `^[a-z0-9][a-z0-9._-]{0,63}$`, not all digits. */
  readonly id: string;
  /** Chosen by the user. Submitting the same name and payload again returns the same job. */
  readonly name: string;
  /** From -1000 to 1000, default 0: higher starts sooner. */
  readonly priority?: number;
  readonly payload: JsonValue;
  /** What must end before the job is placed: each is given to `JobHandlers.awaitNeed`. Default: the job is placed as soon as it fits. */
  readonly needs?: readonly string[];
}

/** A job in the queue. */
export interface Job {
  readonly id: string;
  readonly name: string;
  readonly priority: number;
  readonly payload: JsonValue;
  /** Its number among all jobs ever submitted. */
  readonly sequence: number;
  /** Milliseconds since the epoch. */
  readonly submittedAt: number;
}

export type JobState =
  /** `waiting`: for its needs, for chips, or for a coordinator. */
  "waiting" | "running" | "done" | "failed" | "cancelled";

/** A job, its state and its outcome. */
export interface JobRecord extends Job {
  readonly state: JobState;
  /** Position in the queue, from 1; only while the job waits. */
  readonly position?: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** The value that its run returned, when done. */
  readonly result?: JsonValue;
  /** Why it failed or was cancelled. */
  readonly error?: LapidaryError;
}

/** The data of the BullMQ job. */
export interface StoredJob {
  readonly name: string;
  readonly priority: number;
  readonly payload: JsonValue;
  readonly sequence: number;
  readonly fingerprint: string;
}

const highestPriority = 1000;

/**
 * Converts a priority to BullMQ's, where 1 is first, and 0 means no priority and comes before all others.
 *
 *   Lapidary   1000 … 0 … -1000      BullMQ   1 … 1001 … 2001
 */
export function bullPriority(priority: number): number {
  return highestPriority - priority + 1;
}

/** Two payloads describe the same job if their fingerprints are equal. */
export function fingerprintOf(payload: JsonValue): string {
  return createHash("sha256").update(canonicalJson(payload)).digest("hex");
}

const namePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** @throws LAP_JOB_NAME, LAP_JOB_PRIORITY */
export function checkRequest(request: JobRequest): void {
  const { id, name, priority = 0 } = request;
  for (const [what, value] of [
    ["id", id],
    ["name", name],
  ] as const)
    if (!namePattern.test(value) || (what === "id" && /^\d+$/.test(value)))
      throw new LapidaryError({
        code: "LAP_JOB_NAME",
        message: `invalid job ${what} "${value.slice(0, 80)}"`,
        location: what,
      });
  if (!Number.isInteger(priority) || Math.abs(priority) > highestPriority)
    throw new LapidaryError({
      code: "LAP_JOB_PRIORITY",
      message: `invalid priority ${priority}`,
      location: "priority",
      remedy: `use an integer from -${highestPriority} to ${highestPriority}; a higher priority starts sooner`,
    });
}

export function nameTakenError(name: string, id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NAME_TAKEN",
    message: `job name ${name} is taken by another job: ${id}`,
    location: name,
    remedy: "choose another name; the same name is accepted only for the same job",
  });
}

export function unknownJobError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_UNKNOWN",
    message: `job ${id.slice(0, 80)} not found`,
    location: id.slice(0, 80),
    remedy: "list the jobs with `lapidary jobs`",
  });
}

export function cancelledError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_CANCELLED",
    message: `job ${id} was cancelled`,
    location: id,
    remedy: "launch it again if you did not intend to cancel it",
  });
}

/** Converts what a run threw to the error in the job's record. */
export function jobError(id: string, error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error, { during: "job" });
  return new LapidaryError({
    code: "LAP_JOB_CRASHED",
    message: `job ${id} failed with an internal error: ${error instanceof Error ? error.message : String(error)}`,
    location: id,
    remedy: `report it together with the log of the job, \`lapidary logs ${id}\``,
    cause: error,
  });
}

/** The error of a failed job. BullMQ keeps one string for each failure; Lapidary stores the error there as JSON. */
export function errorFromReason(id: string, reason: string): LapidaryError {
  try {
    const json: unknown = JSON.parse(reason);
    if (isErrorJSON(json)) return errorFromJSON(json);
  } catch (error) {
    // A message of BullMQ itself, such as for a job that stalled too often.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return jobError(id, new Error(reason));
}

export function isCancelled(error: LapidaryError): boolean {
  return error.code === "LAP_JOB_CANCELLED";
}
