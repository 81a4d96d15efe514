import type { Clock } from "@lapidary/std";
import { systemTimer, type Timer } from "@lapidary/fabric";
import type { Eviction } from "./worker-group-errors.js";

/** The part of a worker that the watch reads. */
export interface Watched {
  /** Messages that it has not answered. */
  readonly pending: number;
  /** Answers that it has given. */
  readonly answers: number;
  /** Number of turns of the event loop of its main thread, from its heartbeats. */
  readonly eventLoopTicks: number;
  evict(eviction: Eviction): void;
}

export interface StallOptions {
  readonly clock: Clock;
  /** The worker group hangs if no worker answers for this time. */
  readonly afterMs: number;
  readonly timer?: Pick<Timer, "every">;
}

/** The limit is at least this many times its longest run. */
const longestRuns = 20;

/**
 * Finds a worker group that hangs: all its workers live, at least one has a message to answer, and none answers. The watch evicts the workers whose
 * event loop does not turn, because a worker that waits for another still runs its event loop. If there is no such worker, it evicts all workers
 * that have a message to answer.
 *
 * Only watched time counts: a late tick adds at most two intervals.
 */
export class StallWatch {
  readonly #workers: readonly Watched[];
  readonly #options: StallOptions;
  readonly #everyMs: number;
  readonly #stop: () => void;
  #answers = -1;
  #eventLoopTicks: number[];
  #lastTick: number;
  #longestMs = 0;
  #idleMs = 0;
  /** By worker: how long its event loop has not turned. */
  readonly #unresponsiveMs: number[];

  constructor(workers: readonly Watched[], options: StallOptions) {
    this.#workers = workers;
    this.#options = options;
    this.#everyMs = Math.min(1000, options.afterMs / 10);
    this.#eventLoopTicks = workers.map(() => -1);
    this.#unresponsiveMs = workers.map(() => 0);
    this.#lastTick = options.clock.monotonic();
    this.#stop = (options.timer ?? systemTimer).every(this.#everyMs, () => this.#tick());
  }

  stop(): void {
    this.#stop();
  }

  /** A run took `ms`. */
  ran(ms: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  #tick(): void {
    const now = this.#options.clock.monotonic();
    const passed = Math.min(now - this.#lastTick, 2 * this.#everyMs);
    this.#lastTick = now;
    const eventLoopTicks = this.#workers.map((worker) => worker.eventLoopTicks);
    eventLoopTicks.forEach(
      (count, i) => (this.#unresponsiveMs[i] = count === this.#eventLoopTicks[i] ? (this.#unresponsiveMs[i] ?? 0) + passed : 0),
    );
    this.#eventLoopTicks = eventLoopTicks;
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
