import type { WarningCode } from "./error-codes.js";

/**
 * A finding that does not stop the work: the command goes on, and its result carries the warning. A request that cannot be intended is an error instead.
 * Codes are in the registry (`error-codes.ts`). Every command that takes a job prints its warnings on stderr and lists them
 * under `warnings` with `--json`.
 */
export interface Warning extends WarningJSON {
  readonly code: WarningCode;
}

/** A warning of any code, as another process sent it. */
export interface WarningJSON {
  /** `LAP_…`, stable. */
  readonly code: string;
  /** One sentence: the finding and its cost. */
  readonly message: string;
  /** The location: a file and key, a mesh axis, a tensor. */
  readonly place?: string | undefined;
  /** What to do about it. */
  readonly remedy: string;
}
