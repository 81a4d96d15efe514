import { type ErrorCode, isErrorCode, isSystemError, LapidaryError, systemError } from "@lapidary/std";
import { canBeAllowed, nameOf } from "@lapidary/api/allowed-hosts";

/** The body of every answer that is not a success, in the form of OpenAI. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: "invalid_request_error" | "rate_limit_error" | "server_error";
    /** The field of the request, such as `messages.0.role`. */
    readonly param: string | null;
    /** The code of OpenAI if it has one for this error, else the code of Lapidary. */
    readonly code: string;
  };
}

interface HttpForm {
  readonly status: number;
  /** The code of OpenAI. */
  readonly code?: string;
  /** Whether `location` of the error is a field of the request. */
  readonly hasParam?: true;
}

const httpForms: Readonly<Partial<Record<ErrorCode, HttpForm>>> = {
  LAP_HTTP_TOKEN: { status: 401, code: "invalid_api_key" },
  LAP_HTTP_HOST: { status: 403 },
  LAP_HTTP_ORIGIN: { status: 403 },
  LAP_HTTP_ROUTE: { status: 404, code: "unknown_url" },
  LAP_HTTP_TOO_LARGE: { status: 413 },
  LAP_HTTP_REQUEST: { status: 400, code: "invalid_value", hasParam: true },
  LAP_SERVE_METHOD: { status: 405, code: "method_not_allowed" },
  LAP_SERVE_MEDIA_TYPE: { status: 415, code: "unsupported_media_type" },
  LAP_SERVE_UNSUPPORTED: { status: 400, code: "unsupported_parameter", hasParam: true },
  LAP_SERVE_MODEL: { status: 404, code: "model_not_found", hasParam: true },
  LAP_SERVE_NO_CHAT: { status: 400, hasParam: true },
  LAP_SERVE_PROMPT: { status: 400, hasParam: true },
  LAP_SERVE_CONTEXT: { status: 400, code: "context_length_exceeded", hasParam: true },
  LAP_SERVE_BUSY: { status: 429, code: "rate_limit_exceeded" },
  LAP_SERVE_STOPPED: { status: 503 },
};

/** The HTTP status and the body of an error. An error without a status of its own is a failure of the server. */
export function errorAnswer(error: LapidaryError): { readonly status: number; readonly body: ErrorBody } {
  const { status, code, hasParam }: HttpForm = (isErrorCode(error.code) ? httpForms[error.code] : undefined) ?? { status: 500 };
  const type = status >= 500 ? "server_error" : status === 429 ? "rate_limit_error" : "invalid_request_error";
  const remedy = error.remedy === "" ? "" : `. ${error.remedy[0]?.toUpperCase()}${error.remedy.slice(1)}.`;
  const param = hasParam === true ? (error.location ?? null) : null;
  return { status, body: { error: { message: `${error.code}: ${error.message}${remedy}`, type, param, code: code ?? error.code } } };
}

/** Any thrown value as an error for the client: an error of the system, or an internal error. */
export function asServingError(error: unknown): LapidaryError {
  if (error instanceof LapidaryError) return error;
  if (isSystemError(error)) return systemError(error, { during: "request" });
  return new LapidaryError({
    code: "LAP_INTERNAL",
    message: `internal error: ${error instanceof Error ? error.message : String(error)}`,
    remedy: "report it with the output of the server",
    cause: error,
  });
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 80));

export function tokenError(): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_TOKEN",
    message: "the request has no token, or a wrong one",
    location: "Authorization",
    remedy: "send the token of the server as `Authorization: Bearer TOKEN`; clients of OpenAI call it the API key",
  });
}

export function hostError(host: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_HOST",
    message: `the server does not answer for the host ${quoted(host)}`,
    location: "Host",
    remedy: canBeAllowed(host)
      ? `if this is the name of your proxy, start the server with --allow-host ${nameOf(host)}; otherwise use 127.0.0.1 or localhost, with any port`
      : "use 127.0.0.1 or localhost, with any port",
  });
}

export function originError(origin: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_ORIGIN",
    message: `the server does not answer pages of ${quoted(origin)}`,
    location: "Origin",
    remedy: "send requests from a program, or from a page with the host and port of the server",
  });
}

export function routeError(method: string, path: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_ROUTE",
    message: `${method} ${path.slice(0, 120)} does not exist`,
    location: "url",
    remedy: "use /v1/models, /v1/chat/completions, /v1/completions or /health",
  });
}

export function methodError(method: string, allowed: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_SERVE_METHOD",
    message: `the route does not have the method ${method}`,
    location: "method",
    remedy: `use ${allowed}`,
  });
}

export function mediaTypeError(header: string, value: string): LapidaryError {
  return new LapidaryError({ code: "LAP_SERVE_MEDIA_TYPE", message: `the ${header} of the body is ${quoted(value)}`, location: header });
}

export function tooLargeError(limit_bytes: number): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_TOO_LARGE",
    message: `the body has more than ${limit_bytes} bytes`,
    location: "body",
    remedy: "send a shorter prompt, or fewer prompts in one request",
  });
}

/** A request whose bytes are not valid: HTTP, UTF-8, JSON or a URL. */
export function malformedError(what: string, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_REQUEST",
    message: `${what}: ${(cause instanceof Error ? cause.message : String(cause)).slice(0, 200)}`,
    remedy: "send HTTP/1.1 with a JSON object in UTF-8",
    cause,
  });
}

/** @param param the field, such as `messages.0.role`; empty for the whole body */
export function fieldError(param: string, message: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_HTTP_REQUEST",
    message: `${param === "" ? "the body" : param} is invalid: ${message}`,
    ...(param === "" ? {} : { location: param }),
    remedy: "the README of packages/serving lists the fields",
  });
}

/** A field that would change the answer, but has no effect on this server. */
export function unsupportedError(param: string, why = "the server does not have this field"): LapidaryError {
  return new LapidaryError({
    code: "LAP_SERVE_UNSUPPORTED",
    message: `${param === "" ? '""' : param} is not supported: ${why}`,
    location: param,
  });
}

export function modelError(requested: string, served: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_SERVE_MODEL",
    message: `the server does not have the model ${quoted(requested)}`,
    location: "model",
    remedy: `write ${JSON.stringify(served)}`,
  });
}

export function noChatError(model: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_SERVE_NO_CHAT",
    message: `the model ${JSON.stringify(model)} has no chat template`,
    location: "messages",
  });
}

/** The tokenizer or the chat template rejects the prompt. */
export function promptError(param: string, cause: LapidaryError): LapidaryError {
  return new LapidaryError({
    code: "LAP_SERVE_PROMPT",
    message: `${param} cannot be encoded: ${cause.message} (${cause.code})`,
    location: param,
    remedy: cause.remedy,
    cause,
  });
}

export function contextError(param: string, prompt: number, maxTokens: number | undefined, context: number): LapidaryError {
  const asked = maxTokens === undefined ? "" : ` and ${maxTokens} tokens to generate`;
  return new LapidaryError({
    code: "LAP_SERVE_CONTEXT",
    message: `the prompt has ${prompt} tokens${asked}, but the context of the model is ${context} tokens long`,
    location: param,
  });
}

export function busyError(limit: number): LapidaryError {
  return new LapidaryError({ code: "LAP_SERVE_BUSY", message: `more than ${limit} texts would wait for the model`, location: "queue" });
}

export function stoppedError(): LapidaryError {
  return new LapidaryError({ code: "LAP_SERVE_STOPPED", message: "the server stops", location: "server" });
}

export function portError(port: number, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_PORT_TAKEN",
    message: `another process listens on port ${port}`,
    location: `127.0.0.1:${port}`,
    cause,
  });
}
