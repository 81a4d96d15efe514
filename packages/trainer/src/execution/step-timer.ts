import type { Clock } from "@lapidary/std";

/** Number of steps over which the mean is taken. */
const window = 20;

/** Measures the time of a step from the times at which the last steps ended. */
export class StepTimer {
  readonly #clock: Clock;
  readonly #ends: number[] = [];
  #paused_ms = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#ends.push(clock.monotonic());
  }

  /** A step has ended. @returns the mean time of the last steps, and the time of this one */
  step(): { readonly mean_ms: number; readonly last_ms: number } {
    const now = this.#clock.monotonic() - this.#paused_ms;
    const first = this.#ends[0] ?? now;
    const last = this.#ends.at(-1) ?? now;
    const steps = this.#ends.length;
    this.#ends.push(now);
    if (this.#ends.length > window + 1) this.#ends.shift();
    return { mean_ms: Math.max(0.001, (now - first) / steps), last_ms: now - last };
  }

  /** Excludes the time of `work` from the time of steps. */
  async pause<T>(work: () => Promise<T>): Promise<T> {
    const begin = this.#clock.monotonic();
    try {
      return await work();
    } finally {
      this.#paused_ms += this.#clock.monotonic() - begin;
    }
  }
}
