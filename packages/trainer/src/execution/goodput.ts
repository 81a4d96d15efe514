import type { Clock } from "@lapidary/std";
import type { GoodputReport, MetricsRow } from "@lapidary/api";

/** Uses of the time of a run, except steps. */
type Loss = Exclude<keyof GoodputReport["lost_ms"], "failed">;

/**
 * Goodput: time of committed steps, divided by all time since the run began. At every moment the time counts for one use. The time of a step is
 * good once the step is committed, and lost if the step fails or only repeats committed steps.
 */
export class Goodput {
  readonly #clock: Clock;
  readonly #lost: GoodputReport["lost_ms"];
  /** Wall-clock time before this execution. */
  readonly #earlier: number;
  readonly #begin: number;
  #good: number;
  /** Time of the steps in flight. */
  #pending = 0;
  #now: Loss | "step" = "setup";
  #since: number;
  #failures: number;
  #worstRecovery: number;
  #recoveryBegan: number | undefined;

  /** @param earlier the time of the run under earlier coordinators */
  constructor(clock: Clock, earlier: GoodputReport = emptyReport(clock.now())) {
    this.#clock = clock;
    this.#lost = { ...earlier.lost_ms };
    this.#earlier = earlier.wall_ms;
    this.#good = earlier.committed_ms;
    this.#failures = earlier.failures;
    this.#worstRecovery = earlier.worst_recovery_ms;
    this.#begin = clock.monotonic();
    this.#since = this.#begin;
  }

  /** From now on, time counts for `use`. */
  enter(what: Loss | "step"): void {
    this.#flush();
    this.#now = what;
  }

  /** A step was committed, now or before. */
  step(isNew: boolean): void {
    this.#flush();
    if (isNew) this.#good += this.#pending;
    else this.#lost.replay += this.#pending;
    this.#pending = 0;
    if (!isNew || this.#recoveryBegan === undefined) return;
    this.#worstRecovery = Math.max(this.#worstRecovery, this.#since - this.#recoveryBegan);
    this.#recoveryBegan = undefined;
  }

  /** An attempt has failed. The run recovers until the next new step. */
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
    const wall_ms = this.#earlier + this.#since - this.#begin;
    return {
      time: this.#clock.now(),
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

const emptyReport = (time: number): GoodputReport => ({
  time,
  ratio: 0,
  committed_ms: 0,
  wall_ms: 0,
  lost_ms: { setup: 0, recover: 0, replay: 0, evaluate: 0, checkpoint: 0, failed: 0, stopped: 0 },
  failures: 0,
  worst_recovery_ms: 0,
});

/**
 * The time of a run until now, from its files: the last saved report, the steps that were committed later, and the remaining time without a
 * coordinator.
 *
 * @param saved undefined if no report was saved since `began` (ms since 1970)
 * @param rows of the journal of the run
 */
export function goodputUntil(now: number, saved: GoodputReport | undefined, began: number, rows: readonly MetricsRow[]): GoodputReport {
  const before = saved ?? emptyReport(began);
  const passed = Math.max(0, now - before.time);
  const stepped = rows.reduce((sum, row) => (row.kind === "train" && row.time > before.time ? sum + row.step_ms : sum), 0);
  const committed = Math.min(passed, stepped);
  const wall_ms = before.wall_ms + passed;
  const committed_ms = before.committed_ms + committed;
  return {
    ...before,
    time: now,
    ratio: wall_ms === 0 ? 0 : committed_ms / wall_ms,
    committed_ms,
    wall_ms,
    lost_ms: { ...before.lost_ms, stopped: before.lost_ms.stopped + passed - committed },
  };
}
