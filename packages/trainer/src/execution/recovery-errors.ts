import { LapidaryError } from "@lapidary/std";

/**
 * Whether another attempt can succeed: a worker died or failed, a channel broke, or a test injected a failure. If the cause of a failure is
 * deterministic, such as kernels of another build, every attempt fails.
 */
export function isRecoverable(error: unknown): error is LapidaryError {
  if (!(error instanceof LapidaryError) || !error.isRecoverable) return false;
  return !(error.cause instanceof LapidaryError) || error.cause.isRecoverable;
}

/** @param batch the rows of the data that the step trains on */
export function stepPoisoned(step: number, times: number, batch: string, cause: LapidaryError): LapidaryError {
  return new LapidaryError({
    code: "LAP_STEP_FAILS",
    message: `step ${step} has failed ${times} times, the last time because ${cause.message}`,
    location: `step ${step}, ${batch}`,
    cause,
  });
}

export function restartsExhausted(times: number, cause: LapidaryError): LapidaryError {
  return new LapidaryError({
    code: "LAP_RECOVERY_FAILS",
    message: `${times} consecutive recovery attempts failed, the last because ${cause.message}`,
    location: cause.location ?? "workers",
    cause,
  });
}

export function lossSpike(step: number, loss: number, mean: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_LOSS_SPIKE",
    message: `the loss of step ${step} is ${loss.toFixed(4)}, ${(loss / mean).toFixed(2)} times the mean of the steps before`,
    location: `step ${step}`,
  });
}

/** Adds the batch to the error of a loss that is NaN or infinite; returns any other error unchanged. */
export function onBatch(error: unknown, step: number, batch: string): unknown {
  if (!(error instanceof LapidaryError) || error.code !== "LAP_LOSS_NOT_FINITE") return error;
  return error.with({ location: `step ${step}, ${batch}` });
}

export function tooManySkipped(maxSkipped: number, step: number, batch: string, cause: LapidaryError): LapidaryError {
  return cause.with({
    message: `${cause.message}; already skipped ${maxSkipped} batches (train.guard.max_skipped)`,
    location: `step ${step}, ${batch}`,
    remedy: `${cause.remedy}; or raise train.guard.max_skipped`,
  });
}
