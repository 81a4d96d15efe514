import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: the HTTP server of a trained model. Its clients receive them. */
export const servingErrors = {
  LAP_SERVE_METHOD: { exit: ExitCode.usage, recoverable: false, summary: "The route of the model server does not have this HTTP method." },
  LAP_SERVE_MEDIA_TYPE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The body of the request is not JSON in UTF-8.",
    remedy: "send `Content-Type: application/json` without Content-Encoding",
  },
  LAP_SERVE_UNSUPPORTED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A field of the request would change the answer, but the model server does not support it.",
    remedy: "omit it",
  },
  LAP_SERVE_MODEL: { exit: ExitCode.notFound, recoverable: false, summary: "The model server does not have the requested model." },
  LAP_SERVE_NO_CHAT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The model has no chat template.",
    remedy: "use /v1/completions",
  },
  LAP_SERVE_PROMPT: { exit: ExitCode.usage, recoverable: false, summary: "The tokenizer or the chat template rejects the prompt." },
  LAP_SERVE_CONTEXT: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The prompt and the tokens to generate do not fit in the context of the model.",
    remedy: "shorten the prompt, or lower max_tokens",
  },
  LAP_SERVE_BUSY: {
    exit: ExitCode.unreachable,
    recoverable: false,
    summary: "Too many texts wait for the model.",
    remedy: "try again in a moment",
  },
  LAP_SERVE_STOPPED: {
    exit: ExitCode.cancelled,
    recoverable: false,
    summary: "The model server stopped while it computed the answer.",
    remedy: "start the server again",
  },
} as const satisfies ErrorTable;
