import type { StepIndex } from "./ids.js";
import type { RunReply } from "./messages.js";

/** What all workers reported of one run of a program. */
export interface RunReport {
  readonly step: StepIndex;
  /** By worker. */
  readonly workers: readonly RunReply[];
  /** The outputs of one number that the workers returned, by name. */
  readonly scalars: ReadonlyMap<string, number>;
}
