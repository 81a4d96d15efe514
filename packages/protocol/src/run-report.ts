import type { StepIndex } from "./ids.js";
import type { RunReply } from "./messages.js";

/** What all workers reported of one run of a program. */
export interface RunReport {
  readonly step: StepIndex;
  /** By worker. */
  readonly workers: readonly RunReply[];
  /** The scalar outputs that the caller requested, by name. */
  readonly scalars: ReadonlyMap<string, number>;
}
