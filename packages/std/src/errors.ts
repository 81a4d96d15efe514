/**
 * Every error a user can cause. A code names the mistake for ever (`LAP_<AREA>_<WHAT>`), `place` says where it is,
 * `remedy` what to do about it; `exit` is the process exit code that the command line turns it into.
 */

/** Exit codes of the command line (documented in README). */
export const ExitCode = {
  done: 0,
  other: 1,
  usage: 2,
  unreachable: 3,
  doesNotFit: 4,
  timeout: 5,
  jobFailed: 100,
  notFinished: 101,
  notFound: 102,
  cancelled: 103,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface LapidaryErrorFields {
  /** `LAP_…`, stable. */
  readonly code: string;
  /** One sentence: what is wrong. */
  readonly message: string;
  /** Where: a file and key, a tensor, an address. */
  readonly place?: string;
  /** What to do now. */
  readonly remedy: string;
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/** A mistake in the input or the surroundings, told to a person. Broken invariants throw `assert` instead. */
export class LapidaryError extends Error {
  readonly code: string;
  readonly place: string | undefined;
  readonly remedy: string;
  readonly exit: ExitCode;

  constructor(fields: LapidaryErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "LapidaryError";
    this.code = fields.code;
    this.place = fields.place;
    this.remedy = fields.remedy;
    this.exit = fields.exit ?? ExitCode.other;
  }

  /** The form in which it crosses a process boundary or is printed with `--json`. */
  toJSON(): { code: string; message: string; place?: string; remedy: string; exit: ExitCode } {
    return {
      code: this.code,
      message: this.message,
      ...(this.place === undefined ? {} : { place: this.place }),
      remedy: this.remedy,
      exit: this.exit,
    };
  }
}

/** Rebuilds an error that crossed a process boundary as JSON. */
export function errorFromJSON(json: ReturnType<LapidaryError["toJSON"]>): LapidaryError {
  return new LapidaryError(json);
}

/** Throws with both values when an invariant of ours is broken: a bug, never a user's mistake. */
export function assert(condition: unknown, message: string, ...values: readonly unknown[]): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}${values.map((value) => ` ${describe(value)}`).join("")}`);
}

/** `value`, or a broken invariant when it is undefined: for look-ups that cannot miss. */
export function must<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new Error(`invariant broken: missing ${what}`);
  return value;
}

/** Makes a `switch` over a union total: the compiler lists the variant that lacks a case. */
export function unreachable(value: never): never {
  throw new Error(`invariant broken: unexpected ${describe(value)}`);
}

function describe(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}
