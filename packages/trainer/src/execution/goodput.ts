import type { Clock } from "@lapidary/std";
import type { GoodputReport, MetricsRow } from "@lapidary/api";

/** What the time of a run goes into, besides steps that count. */
type Loss = Exclude<keyof GoodputReport["lost_ms"], "failed">;

/**
 * Goodput: time spent on steps that were committed, over all time since the run began. At every moment time goes into one thing; that of steps is
 * good once they are committed, and lost if they fail or only repeat what was committed before.
 */
export class Goodput {
  readonly #clock: Clock;
  readonly #lost: GoodputReport["lost_ms"];
  /** What was wall time before. */
  readonly #earlier: number;
  readonly #begin: number;
  #good: number;
  /** Of steps under way. */
  #pending = 0;
  #now: Loss | "step" = "setup";
  #since: number;
  #failures: number;
  #worstRecovery: number;
  #recoveryBegan: number | undefined;

  /** @param earlier where the time of the run went before, under coordinators that are gone */
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
 * Where the time of a run went until now, from its files: what was saved last, the steps that were committed since, and the rest without a coordinator.
 *
 * @param saved undefined: nothing was since `began` (ms since 1970)
 * @param rows of the run's journal
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
