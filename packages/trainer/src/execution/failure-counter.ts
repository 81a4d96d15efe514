import type { LapidaryError } from "@lapidary/std";
import { restartsExhausted, stepPoisoned } from "./recovery-errors.js";

/** Maximum failures of one step. */
const maxFailures = 3;
/** Maximum consecutive attempts that fail before they train. */
const maxRestarts = 8;

/** Steps in flight: workers start the next step before the coordinator has the results of the last. */
const defaultAhead = 4;
const stepsWatched = 8;

/** Counts failures until a step succeeds that failed before. */
export class FailureCounter {
  #step = 0;
  #failures = 0;
  #restarts = 0;
  why: string | undefined;

  /** @param trained whether the attempt had dispatched this step. If not, it failed before the step, and the step is not the cause. */
  count(step: number, trained: boolean, error: LapidaryError, batch: string): void {
    this.why = error.message;
    if (step !== this.#step) [this.#failures, this.#restarts] = [0, 0];
    this.#step = step;
    if (trained && ++this.#failures >= maxFailures) throw stepPoisoned(step, this.#failures, batch, error);
    if (!trained && ++this.#restarts >= maxRestarts) throw restartsExhausted(this.#restarts, error);
  }

  /** A step that has failed is dispatched alone, so that a second failure names it. */
  ahead(step: number): number {
    return this.#failures > 0 && step >= this.#step && step < this.#step + stepsWatched ? 1 : defaultAhead;
  }
}
