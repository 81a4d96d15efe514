import type { ExitCode } from "../exit-code.js";

/** The properties of all errors of one code. */
export interface ErrorEntry {
  /** The exit code of a command that ends with the error. */
  readonly exit: ExitCode;
  /** Whether a run repeats the work from the last committed step after this error, instead of failing. */
  readonly recoverable: boolean;
  /** Whether the error is usually the effect of another error in the same worker group, which explains more. */
  readonly secondary?: true;
  /** One sentence for docs/errors.md. */
  readonly summary: string;
  /** The remedy, if it is the same for all errors of the code. */
  readonly remedy?: string;
}

export type ErrorTable = Readonly<Record<`LAP_${string}`, ErrorEntry>>;
