import type { ExitCode } from "../exit-code.js";

/** What is the same for every error of one code. */
export interface ErrorEntry {
  /** The exit code of a command that ends with the error. */
  readonly exit: ExitCode;
  /** Whether a run repeats the work from the last committed step after this error, instead of failing. */
  readonly recoverable: boolean;
  /** Whether the error is usually the effect of another error in the same worker group, which explains more. */
  readonly secondary?: true;
  /** One sentence for docs/errors.md. */
  readonly summary: string;
  /** What to do, if the sentence is the same wherever the code is thrown. */
  readonly remedy?: string;
}

export type ErrorTable = Readonly<Record<`LAP_${string}`, ErrorEntry>>;
