import type { WarningCode } from "./error-codes.js";

/**
 * A finding that does not stop the work. The command continues, and its result contains the warning. A request that cannot be intended is an error instead.
 * Codes are in the registry (`error-codes.ts`). Every command that takes a job prints its warnings on stderr and lists them
 * under `warnings` with `--json`.
 */
export interface Warning extends WarningJSON {
  readonly code: WarningCode;
}

/** A warning of any code, received from another process. */
export interface WarningJSON {
  /** `LAP_…`, stable. */
  readonly code: string;
  /** One sentence: the finding and its cost. */
  readonly message: string;
  /** The location: a file and key, a mesh axis, a tensor. */
  readonly place?: string | undefined;
  /** The remedy. */
  readonly remedy: string;
}
