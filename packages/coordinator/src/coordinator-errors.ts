import { assert, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { Run } from "@lapidary/telemetry";

/** The error of a run that trained when its coordinator was stopped. */
export function coordinatorStopped(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_STOPPED",
    message: "coordinator stopped",
    location: id,
    remedy: `\`lapidary jobs resume ${id}\` resumes it after its last checkpoint`,
  });
}

export function cancelOf(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_CANCELLED",
    message: `job ${id} was cancelled`,
    location: id,
    remedy: "launch it again if that was not intended",
  });
}

export const isCancel = (reason: unknown): boolean => reason instanceof LapidaryError && reason.code === "LAP_JOB_CANCELLED";

export function runLost(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_RUN_LOST",
    message: `the files of run ${id} are missing`,
    location: id,
  });
}

export function notResumable(run: Run): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NOT_RESUMABLE",
    message: run.state === "done" ? `job ${run.id} is done` : `job ${run.id} has not ended: it is ${run.state}`,
    location: run.id,
  });
}

export function pipelineNameTaken(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_NAME_TAKEN",
    message: `another pipeline has the name ${id}`,
    location: "name",
    remedy: "choose another name, or omit it to get a generated one",
  });
}

export function notReady(): LapidaryError {
  return new LapidaryError({
    code: "LAP_COORDINATOR_BUSY",
    message: "the coordinator is starting or ending and accepts no jobs",
    location: "coordinator",
  });
}

export function errorFields(error: unknown): Record<string, unknown> {
  assert(error !== undefined, "a value was thrown");
  return error instanceof LapidaryError
    ? { error: error.toJSON() }
    : { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

export function asJobError(run: Run, error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error, { place: error.dest ?? error.path ?? run.directory, during: "job" });
  return new LapidaryError({
    code: "LAP_INTERNAL",
    message: `internal error: ${error instanceof Error ? error.message : String(error)}`,
    location: run.id,
    during: "job",
    cause: error,
  });
}
