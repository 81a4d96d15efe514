import { createHash } from "node:crypto";
import { canonicalJson, errorFromJSON, isErrorJSON, isSystemError, type JsonValue, LapidaryError, systemError } from "@lapidary/std";

/** What is asked for. */
export interface JobRequest {
  /** Unique for ever: matches `^[a-z0-9][a-z0-9._-]{0,63}$`, not all digits. */
  readonly id: string;
  /** Chosen by people; submitting the same payload under the same name again yields the same job. */
  readonly name: string;
  /** From -1000 to 1000, default 0: higher starts sooner. */
  readonly priority?: number;
  readonly payload: JsonValue;
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
  /** For chips, or for a coordinator. */
  "waiting" | "running" | "done" | "failed" | "cancelled";

/** A job and what became of it. */
export interface JobRecord extends Job {
  readonly state: JobState;
  /** From 1, the next to be considered; only while it waits. */
  readonly position?: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** What its run returned, when done. */
  readonly result?: JsonValue;
  /** Why it failed or was cancelled. */
  readonly error?: LapidaryError;
}

/** What is stored as the data of the BullMQ job. */
export interface StoredJob {
  readonly name: string;
  readonly priority: number;
  readonly payload: JsonValue;
  readonly sequence: number;
  readonly fingerprint: string;
}

export const highestPriority = 1000;

/**
 * Our priority as BullMQ's, where 1 goes first and 0 means none and goes before all others.
 *
 *   ours   1000 … 0 … -1000      BullMQ's   1 … 1001 … 2001
 */
export function bullPriority(priority: number): number {
  return highestPriority - priority + 1;
}

/** Two payloads are the same job when their fingerprints are equal. */
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
        message: `"${value.slice(0, 80)}" cannot be the ${what} of a job`,
        place: what,
      });
  if (!Number.isInteger(priority) || Math.abs(priority) > highestPriority)
    throw new LapidaryError({
      code: "LAP_JOB_PRIORITY",
      message: `${priority} is no priority`,
      place: "priority",
      remedy: `use a whole number from -${highestPriority} to ${highestPriority}; higher starts sooner`,
    });
}

export function nameTakenError(name: string, id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NAME_TAKEN",
    message: `job ${id} already has the name ${name}, and is another job`,
    place: name,
    remedy: "choose another name; the same name is accepted only for the same job",
  });
}

export function unknownJobError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_UNKNOWN",
    message: `there is no job ${id.slice(0, 80)}`,
    place: id.slice(0, 80),
    remedy: "`lapidary jobs` lists them",
  });
}

export function cancelledError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_CANCELLED",
    message: `job ${id} was cancelled`,
    place: id,
    remedy: "launch it again if that was not intended",
  });
}

/** What a run threw, as the error that the job's record keeps. */
export function jobError(id: string, error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error, { during: "job" });
  return new LapidaryError({
    code: "LAP_JOB_CRASHED",
    message: `job ${id} failed by a mistake of Lapidary: ${error instanceof Error ? error.message : String(error)}`,
    place: id,
    remedy: `report it with the job's log, \`lapidary logs ${id}\``,
    cause: error,
  });
}

/** BullMQ keeps one text about a failure; ours is the error as JSON. */
export function errorFromReason(id: string, reason: string): LapidaryError {
  try {
    const json: unknown = JSON.parse(reason);
    if (isErrorJSON(json)) return errorFromJSON(json);
  } catch (error) {
    // BullMQ's own words, say about a job that stalled too often.
    if (!(error instanceof SyntaxError)) throw error;
  }
  return jobError(id, new Error(reason));
}

export function isCancelled(error: LapidaryError): boolean {
  return error.code === "LAP_JOB_CANCELLED";
}
