import { LapidaryError } from "@lapidary/std";

export function staleError(epoch: number, current: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_STALE",
    message: `a message of epoch ${epoch} reached a worker of epoch ${current}`,
    location: `epoch ${epoch}`,
  });
}

export function idleError(kind: string, epoch: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_IDLE",
    message: `${kind} of epoch ${epoch} reached a worker that was not configured for it`,
    location: `epoch ${epoch}`,
  });
}

export function busyError(run: string, other: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_BUSY",
    message: `the worker belongs to run ${run} and cannot join ${other}`,
    location: `run ${other}`,
  });
}

export function unknownValueError(value: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_UNKNOWN",
    message: `the worker has no value ${value}`,
    location: value,
  });
}

export function valueExistsError(value: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_EXISTS",
    message: `an output would replace the value ${value}, which the run does not consume`,
    location: value,
  });
}

export function valueTypeError(value: string, found: string, expected: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_TYPE",
    message: `value ${value} is ${found}, the program expects ${expected}`,
    location: value,
  });
}

export function unknownProgramError(program: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_PROGRAM_UNKNOWN",
    message: `the worker has no program ${program}`,
    location: program,
  });
}

export function unknownStagingBufferError(path: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_IMAGE_UNKNOWN",
    message: `the worker has no staging buffer ${path}`,
    location: path,
  });
}

export function supersededError(by: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_OVERTAKEN",
    message: `the worker left the run (${by}) before this was done`,
    remedy: "if the results in flight matter, wait for them before you close the worker group",
  });
}

/** Any failure as an error that can be sent to another process. */
export function asLapidaryError(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new LapidaryError({
    code: "LAP_WORKER_FAILED",
    message,
    cause: error,
  });
}
