import type { CollectiveName } from "@lapidary/ir";
import type { SharedExchange } from "../device/shared-memory.js";
import type { StepItem } from "../sequence/find-sequences.js";

/**
 * Observers of the executor. The executor calls them; no hook changes a value.
 *
 *     before(item) ─► kernel, start or finish of a collective ─► after(item)
 */
export interface ExecutionHooks {
  /** An item of the schedule starts. An exception ends the run. */
  before(item: StepItem): void;
  /** An item of the schedule has ended. An exception ends the run. */
  after(item: StepItem): void;
  /** Decorates the shared-memory channel of a collective. Called once per collective, when the workers have agreed to share memory. */
  link(op: CollectiveName, link: SharedExchange): SharedExchange;
}
