import type { Clock } from "@lapidary/std";
import type { GoodputReport } from "../api.js";

/** What the time of a run goes into, besides steps that count. */
type Loss = Exclude<keyof GoodputReport["lost_ms"], "failed">;

/**
 * Goodput: time spent on steps that were committed, over all time since the run began. At every moment time goes into one thing; that of steps is
 * good once they are committed, and lost if they fail or only repeat what was committed before.
 */
export class Goodput {
  readonly #clock: Clock;
  readonly #lost = { setup: 0, recover: 0, replay: 0, evaluate: 0, checkpoint: 0, failed: 0 };
  readonly #begin: number;
  #good = 0;
  /** Of steps under way. */
  #pending = 0;
  #now: Loss | "step" = "setup";
  #since: number;
  #failures = 0;
  #worstRecovery = 0;
  #recoveryBegan: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begin = clock.monotonic();
    this.#since = this.#begin;
  }

  /** From now on time goes into this. */
  enter(what: Loss | "step"): void {
    this.#flush();
    this.#now = what;
  }

  /** A step was committed, or had been before. */
  step(isNew: boolean): void {
    this.#flush();
    if (isNew) this.#good += this.#pending;
    else this.#lost.replay += this.#pending;
    this.#pending = 0;
    if (!isNew || this.#recoveryBegan === undefined) return;
    this.#worstRecovery = Math.max(this.#worstRecovery, this.#since - this.#recoveryBegan);
    this.#recoveryBegan = undefined;
  }

  /** An attempt has failed; until the next new step the run recovers. */
  fail(): void {
    this.#flush();
    this.#lost.failed += this.#pending;
    this.#pending = 0;
    this.#failures++;
    this.#recoveryBegan ??= this.#since;
    this.#now = "recover";
  }

  report(): GoodputReport {
    this.#flush();
    const wall_ms = this.#since - this.#begin;
    return {
      ratio: wall_ms === 0 ? 0 : this.#good / wall_ms,
      committed_ms: this.#good,
      wall_ms,
      lost_ms: { ...this.#lost },
      failures: this.#failures,
      worst_recovery_ms: this.#worstRecovery,
    };
  }

  #flush(): void {
    const now = this.#clock.monotonic();
    const passed = now - this.#since;
    this.#since = now;
    if (this.#now === "step") this.#pending += passed;
    else this.#lost[this.#now] += passed;
  }
}
