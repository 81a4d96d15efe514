import type { Clock } from "@lapidary/std";
import { systemTimer, type Timer } from "@lapidary/fabric";
import type { Eviction } from "./worker-group-errors.js";

/** A worker as the watch sees it. */
export interface Watched {
  /** Messages that it has not answered. */
  readonly pending: number;
  /** Answers that it has given. */
  readonly answers: number;
  /** How often its main thread has come by its event loop, as it says itself. */
  readonly turns: number;
  evict(eviction: Eviction): void;
}

export interface StallOptions {
  readonly clock: Clock;
  /** The worker group hangs if no worker answers for this time. */
  readonly afterMs: number;
  readonly timer?: Timer;
}

/** The limit is at least this many times its longest run. */
const longestRuns = 20;

/**
 * Finds a worker group that hangs: all its workers live, one at least has a message to answer, and none answers. The watch evicts
 * those whose event loop does not turn, because a worker that waits for another still runs its event loop. If there is none, it evicts all that have a message to answer.
 *
 * Only time that was watched counts: a tick that comes late adds no more than two intervals.
 */
export class StallWatch {
  readonly #workers: readonly Watched[];
  readonly #options: StallOptions;
  readonly #everyMs: number;
  readonly #stop: () => void;
  #answers = -1;
  #turns: number[];
  #lastTick: number;
  #longestMs = 0;
  #idleMs = 0;
  /** By worker: how long its event loop was not come by. */
  readonly #unresponsiveMs: number[];

  constructor(workers: readonly Watched[], options: StallOptions) {
    this.#workers = workers;
    this.#options = options;
    this.#everyMs = Math.min(1000, options.afterMs / 10);
    this.#turns = workers.map(() => -1);
    this.#unresponsiveMs = workers.map(() => 0);
    this.#lastTick = options.clock.monotonic();
    this.#stop = (options.timer ?? systemTimer).every(this.#everyMs, () => this.#tick());
  }

  stop(): void {
    this.#stop();
  }

  /** A run took so long. */
  ran(ms: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  #tick(): void {
    const now = this.#options.clock.monotonic();
    const passed = Math.min(now - this.#lastTick, 2 * this.#everyMs);
    this.#lastTick = now;
    const turns = this.#workers.map((worker) => worker.turns);
    turns.forEach((count, i) => (this.#unresponsiveMs[i] = count === this.#turns[i] ? (this.#unresponsiveMs[i] ?? 0) + passed : 0));
    this.#turns = turns;
    const answers = this.#workers.reduce((sum, worker) => sum + worker.answers, 0);
    const waits = this.#workers.some(({ pending }) => pending > 0);
    this.#idleMs = waits && answers === this.#answers ? this.#idleMs + passed : 0;
    this.#answers = answers;
    const limit = Math.max(this.#options.afterMs, longestRuns * this.#longestMs);
    if (this.#idleMs <= limit) return;
    this.#stop();
    const waiting = this.#workers
      .map((worker, i) => ({ worker, isUnresponsive: (this.#unresponsiveMs[i] ?? 0) > this.#idleMs / 2 }))
      .filter(({ worker }) => worker.pending > 0);
    const isUnresponsive = waiting.filter((each) => each.isUnresponsive);
    for (const { worker } of isUnresponsive.length === 0 ? waiting : isUnresponsive)
      worker.evict({ reason: "no_answer", waited_ms: this.#idleMs });
  }
}
