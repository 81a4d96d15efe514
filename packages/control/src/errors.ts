import { ExitCode, LapidaryError } from "@lapidary/std";

/** Redis does not answer, or not in time. Whether the command was carried out is not known. */
export function unreachableError(place: string, why: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_REDIS_UNREACHABLE",
    message: `Redis does not answer: ${why}`,
    place,
    remedy: "start it with `lapidary up`, or check the address; `lapidary doctor` tells what is missing",
    exit: ExitCode.unreachable,
    cause,
  });
}

/**
 * What an error of ioredis or BullMQ means to a person. Errors that Redis answers with and that no user can cause are
 * ours, and are returned as they are.
 */
export function explainRedisError(place: string, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof LapidaryError) return error;
  const answer = error.message;
  if (error.name === "MaxRetriesPerRequestError") return unreachableError(place, "the connection to it broke", error);
  if (/^(NOAUTH|WRONGPASS|NOPERM|ERR AUTH)/.test(answer))
    return new LapidaryError({
      code: "LAP_REDIS_REFUSED",
      message: `Redis refuses this user: ${answer}`,
      place,
      remedy: "put the right user and password into the address, redis://user:password@host:port",
      exit: ExitCode.unreachable,
      cause: error,
    });
  if (/^(OOM|MISCONF)/.test(answer))
    return new LapidaryError({
      code: "LAP_REDIS_FULL",
      message: `Redis takes no more data: ${answer}`,
      place,
      remedy: "free memory or disk on its machine, or raise its maxmemory; training goes on meanwhile, jobs and events are not recorded",
      cause: error,
    });
  if (/^(LOADING|MASTERDOWN|READONLY|CLUSTERDOWN)/.test(answer)) return unreachableError(place, answer, error);
  const connection =
    /Connection is closed|Connection in subscriber|Stream isn't writeable|Command timed out|ECONN|ENOENT|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EACCES/i;
  const { code } = error as { code?: unknown };
  if (connection.test(answer) || (typeof code === "string" && connection.test(code))) return unreachableError(place, answer, error);
  return error;
}
