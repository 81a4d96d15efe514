import { type ErrorCode, type ErrorCodeWithRemedy, errorCodeOf, errorEntry, type UnknownErrorCode } from "./error-codes.js";
import { ExitCode } from "./exit-code.js";

/**
 * Every error that a user can cause. A code of the registry (`error-codes.ts`) has a fixed meaning (`LAP_<AREA>_<WHAT>`) and determines the
 * exit code of the command line; `place` is the location of the mistake, `remedy` says how to correct it.
 */

/**
 * The job or request that an error ended, if it determines the exit code instead of the code of the error:
 * a job (100, the exit code of a command that follows the job), or a request to a server that itself failed (1).
 */
export type ErrorContext = "job" | "request";

const exitOfContext = { job: ExitCode.jobFailed, request: ExitCode.other } as const satisfies Readonly<Record<ErrorContext, ExitCode>>;

interface CommonFields {
  /** One sentence about the mistake. */
  readonly message: string;
  /** The location: a file and key, a tensor, an address. */
  readonly location?: string | undefined;
  /** Only for errors with the same meaning in all contexts, such as those of the operating system. */
  readonly during?: ErrorContext | undefined;
  readonly cause?: unknown;
}

/** `remedy` describes the correction. An error with a remedy in the registry may omit it. */
export type LapidaryErrorFields = CommonFields &
  (
    | { readonly code: ErrorCodeWithRemedy; readonly remedy?: string }
    | { readonly code: ErrorCode | UnknownErrorCode; readonly remedy: string }
  );

/** The form in which an error crosses a process boundary or is printed with `--json`. */
export interface ErrorJSON {
  readonly code: ErrorCode | UnknownErrorCode;
  readonly message: string;
  readonly place?: string;
  readonly remedy: string;
  readonly exit: ExitCode;
}

/** A mistake in the input or the environment, reported to a user. Broken invariants throw `assert` instead. */
export class LapidaryError extends Error {
  readonly code: ErrorCode | UnknownErrorCode;
  readonly location: string | undefined;
  readonly remedy: string;
  readonly exit: ExitCode;
  readonly #during: ErrorContext | undefined;

  constructor(fields: LapidaryErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    const entry = errorEntry(fields.code);
    this.name = "LapidaryError";
    this.code = fields.code;
    this.location = fields.location;
    this.remedy = fields.remedy ?? entry?.remedy ?? "";
    this.exit = fields.during === undefined ? (entry?.exit ?? ExitCode.other) : exitOfContext[fields.during];
    this.#during = fields.during;
  }

  /** Whether a run repeats the work from the last committed step after this error. */
  get isRecoverable(): boolean {
    return errorEntry(this.code)?.recoverable === true;
  }

  /** Whether another error of the same worker group is usually the cause of this one. */
  get isSecondary(): boolean {
    return errorEntry(this.code)?.secondary === true;
  }

  /** The same error with other words; `cause` is this error by default. */
  with(changes: {
    readonly message?: string;
    readonly location?: string;
    readonly remedy?: string;
    readonly cause?: unknown;
  }): LapidaryError {
    const { code, message, location, remedy } = this;
    return new LapidaryError({ code, message, location, remedy, during: this.#during, cause: this, ...changes });
  }

  toJSON(): ErrorJSON {
    return {
      code: this.code,
      message: this.message,
      ...(this.location === undefined ? {} : { place: this.location }),
      remedy: this.remedy,
      exit: this.exit,
    };
  }
}

/** An error of another process, whose version may differ. */
interface SentError {
  readonly code: string;
  readonly message: string;
  readonly place?: string;
  readonly remedy: string;
  readonly exit?: unknown;
}

/** Whether a decoded JSON value is an error in the form of `toJSON`, of any code. */
export function isErrorJSON(json: unknown): json is SentError {
  if (typeof json !== "object" || json === null) return false;
  const { code, message, place, remedy } = json as Readonly<Record<string, unknown>>;
  const texts = [code, message, remedy].every((text) => typeof text === "string");
  return texts && (place === undefined || typeof place === "string");
}

/**
 * Rebuilds an error that crossed a process boundary as JSON. The registry determines its exit code, not the sender. An unknown code is kept,
 * is not recoverable, and exits with 1. A value that is not an error becomes LAP_ERROR_UNREADABLE with its text.
 */
export function errorFromJSON(json: unknown): LapidaryError {
  if (!isErrorJSON(json))
    return new LapidaryError({
      code: "LAP_ERROR_UNREADABLE",
      message: `another process reported ${(JSON.stringify(json) ?? String(json)).slice(0, 500)}`,
    });
  const { message, place: location, remedy, exit } = json;
  const code = errorCodeOf(json.code);
  return new LapidaryError({ code, message, location, remedy, during: contextOf(code, exit) });
}

/** The context that determined the exit code of the sender's error. */
function contextOf(code: ErrorCode | UnknownErrorCode, exit: unknown): ErrorContext | undefined {
  const entry = errorEntry(code);
  if (entry === undefined || exit === entry.exit) return undefined;
  if (exit === exitOfContext.job) return "job";
  return exit === exitOfContext.request ? "request" : undefined;
}

/** Throws with both values if an invariant is broken: a bug, never a mistake of a user. */
export function assert(condition: unknown, message: string, ...values: readonly unknown[]): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}${values.map((value) => ` ${describe(value)}`).join("")}`);
}

/** Returns `value`, or throws if it is undefined: for look-ups that must succeed. */
export function ensure<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new Error(`invariant broken: missing ${what}`);
  return value;
}

/** Makes a `switch` over a union total: the compiler lists the variant that lacks a case. */
export function assertNever(value: never): never {
  throw new Error(`invariant broken: unexpected ${describe(value)}`);
}

function describe(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}
