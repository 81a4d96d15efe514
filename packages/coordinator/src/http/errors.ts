import { type ErrorCode, ExitCode, isSystemError, LapidaryError, systemError, isErrorCode } from "@lapidary/std";
import { z } from "zod";
import type { ErrorBody } from "@lapidary/api";
import { canBeAllowed, nameOf } from "@lapidary/api/allowed-hosts";

/** The HTTP status of an error: of its code if the code has one, else of its exit code. */
export function httpStatus(error: LapidaryError): number {
  const own = isErrorCode(error.code) ? statusOfCode[error.code] : undefined;
  if (own !== undefined) return own;
  switch (error.exit) {
    case ExitCode.usage:
      return 400;
    case ExitCode.notFound:
      return 404;
    case ExitCode.notFinished:
      return 409;
    case ExitCode.doesNotFit:
      return 422;
    case ExitCode.unreachable:
      return 503;
    default:
      return 500;
  }
}

const statusOfCode: Readonly<Partial<Record<ErrorCode, number>>> = {
  LAP_HTTP_TOKEN: 401,
  LAP_HTTP_HOST: 403,
  LAP_HTTP_ORIGIN: 403,
  LAP_HTTP_ROUTE: 404,
  LAP_HTTP_TOO_LARGE: 413,
  LAP_JOB_NAME_TAKEN: 409,
};

export function tokenError(): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_TOKEN",
    message: "the request has no token, or a wrong one",
    location: "Authorization",
  });
}

export function hostError(host: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_HOST",
    message: `requests for the host ${JSON.stringify(host.slice(0, 80))} are not answered`,
    location: "Host",
    ...(canBeAllowed(host)
      ? {
          remedy: `if this is the address of your proxy, start the coordinator with \`lapidary up --allow-host ${nameOf(host)}\`; else use 127.0.0.1 or localhost, with any port`,
        }
      : {}),
  });
}

export function originError(origin: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_ORIGIN",
    message: `requests from pages of ${JSON.stringify(origin.slice(0, 80))} are not answered`,
    location: "Origin",
  });
}

export function routeError(method: string, url: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_ROUTE",
    message: `${method} ${url.slice(0, 120)} not found`,
    location: "url",
    remedy: "the API is described in packages/api/src/schemas.ts",
  });
}

/** A URL that is too long or badly encoded. */
export function urlError(url: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_REQUEST",
    message: `invalid address ${JSON.stringify(url.slice(0, 120))}: ${cause instanceof Error ? cause.message.slice(-80) : String(cause)}`,
    location: "url",
    remedy: "the API is described in packages/api/src/schemas.ts",
    cause,
  });
}

/** Bytes that are not an HTTP request. */
export function noRequestError(cause: Error): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_REQUEST",
    message: `invalid HTTP request: ${cause.message.slice(0, 120)}`,
    location: "connection",
    remedy: "use HTTP/1.1 without WebSockets; for live data use the server-sent-events endpoints",
    cause,
  });
}

/** A body or query that its schema rejects; the location is the key. */
function requestError(error: z.ZodError, where: string): LapidaryError {
  const issue = error.issues[0];
  const key = (issue?.path ?? []).map(String).join(".");
  return new LapidaryError({
    code: "LAP_HTTP_REQUEST",
    message: `the ${where} of the request is invalid: ${issue?.message ?? "unknown issue"}`,
    location: key === "" ? where : `${where}.${key}`,
    remedy: "the API is described in packages/api/src/schemas.ts",
    cause: error,
  });
}

/** The body of a response with an error. */
export function errorBody(error: LapidaryError): ErrorBody {
  const issue = error.cause instanceof z.ZodError ? error.cause.issues[0]?.code : undefined;
  return { error: error.toJSON(), ...(issue === undefined ? {} : { issue }) };
}

/** Any thrown value as an error for the user: an error of fastify (bad JSON, too large a body), an error of the system, or an internal error. */
export function asLapidaryError(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error, { during: "request" });
  const { statusCode, message } =
    error instanceof Error ? (error as Error & { statusCode?: number }) : { statusCode: undefined, message: String(error) };
  if (statusCode === 413)
    return new LapidaryError({
      code: "LAP_HTTP_TOO_LARGE",
      message: "the request's body is too large",
      location: "body",
      cause: error,
    });
  if (statusCode !== undefined && statusCode < 500)
    return new LapidaryError({
      code: "LAP_HTTP_REQUEST",
      message,
      location: "body",
      remedy: "send JSON as application/json",
      cause: error,
    });
  return new LapidaryError({
    code: "LAP_INTERNAL",
    message: `internal error: ${message}`,
    cause: error,
  });
}

/** The value of a request that a schema accepts. @param where the part of the request, for errors */
export function readRequest<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw requestError(parsed.error, where);
  return parsed.data;
}
