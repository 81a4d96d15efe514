import type { CollectiveName } from "@lapidary/ir";
import type { SharedCrossing } from "../device/shared-memory.js";
import type { Place } from "./order.js";

/**
 * What watches the executor from outside. The executor calls it; no hook changes a value.
 *
 *     before(item) ─► kernel, start or finish of a collective ─► after(item)
 */
export interface ExecutionHooks {
  /** An item of the schedule starts. An exception ends the run. */
  before(item: Place): void;
  /** An item of the schedule has ended. An exception ends the run. */
  after(item: Place): void;
  /** Decorates the shared-memory channel of a collective. Called once per collective, when the workers have agreed to share memory. */
  link(op: CollectiveName, link: SharedCrossing): SharedCrossing;
}
