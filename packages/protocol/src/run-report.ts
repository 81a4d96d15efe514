import type { StepIndex } from "./ids.js";
import type { RunReply } from "./messages.js";

/** What all workers reported of one run of a program. */
export interface RunReport {
  readonly step: StepIndex;
  /** By worker. */
  readonly workers: readonly RunReply[];
  /** The outputs that were to be told, by name. */
  readonly told: ReadonlyMap<string, number>;
}
