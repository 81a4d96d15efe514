import { ExitCode, LapidaryError } from "@lapidary/std";

export function staleError(epoch: number, current: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_STALE",
    message: `a message of epoch ${epoch} came to a worker of epoch ${current}`,
    place: `epoch ${epoch}`,
    remedy: "an older attempt of this run is still alive: stop it",
  });
}

export function idleError(kind: string, epoch: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_IDLE",
    message: `${kind} of epoch ${epoch} came to a worker that was not configured for it`,
    place: `epoch ${epoch}`,
    remedy: "send `configure` first",
  });
}

export function busyError(run: string, other: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_BUSY",
    message: `the worker belongs to run ${run} and cannot join ${other}`,
    place: `run ${other}`,
    remedy: "send `reset` first, or take a free worker",
  });
}

export function unknownValueError(value: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_UNKNOWN",
    message: `the worker holds no value ${value}`,
    place: value,
    remedy: "put, feed or compute it first; a donated value is gone",
    exit: ExitCode.notFound,
  });
}

export function valueExistsError(value: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_EXISTS",
    message: `an output would replace the value ${value}, which the run does not consume`,
    place: value,
    remedy: "donate it, drop it first, or name the output otherwise",
  });
}

export function valueTypeError(value: string, is: string, wanted: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_VALUE_TYPE",
    message: `value ${value} is ${is}, the program wants ${wanted}`,
    place: value,
    remedy: "compile the programs that share a value for the same shardings",
  });
}

export function unknownProgramError(program: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_PROGRAM_UNKNOWN",
    message: `the worker has no program ${program}`,
    place: program,
    remedy: "load it first",
  });
}

export function unknownImageError(path: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_WORKER_IMAGE_UNKNOWN",
    message: `the worker has no image ${path}`,
    place: path,
    remedy: "send `image` first, and fetch the values where it cannot be opened",
  });
}

export const overtakenCode = "LAP_WORKER_OVERTAKEN";

export function overtakenError(by: string): LapidaryError {
  return new LapidaryError({
    code: overtakenCode,
    message: `the worker was told to leave the run (${by}) before this was done`,
    remedy: "wait for what is in flight before you close the gang, if its results are wanted",
  });
}

/** Any failure as one that can cross to another process. */
export function asLapidaryError(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new LapidaryError({
    code: "LAP_WORKER_FAILED",
    message,
    remedy: "this is a bug of Lapidary; the worker's log has the stack",
    cause: error,
  });
}
