import type { jobFileOf, stepJobFileOf } from "@lapidary/training/job";

/** A job as the coordinator receives it. */
export interface JobSubmission {
  /** A job file that needs no other file of `configs`. */
  readonly job: ReturnType<typeof jobFileOf> | ReturnType<typeof stepJobFileOf>;
  readonly priority: number;
}
