import type { Clock } from "@lapidary/std";
import type { TrainingReport } from "@lapidary/api";

type Stage = Exclude<keyof TrainingReport["timings_ms"], "total">;

/** The time of a run, stage by stage. */
export class Stopwatch {
  readonly #clock: Clock;
  readonly #begin: number;
  readonly #stages = { prepare: 0, compile: 0, place: 0, load: 0, train: 0, evaluate: 0, checkpoint: 0, sample: 0 } satisfies Record<
    Stage,
    number
  >;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begin = clock.monotonic();
  }

  get total_ms(): number {
    return this.#clock.monotonic() - this.#begin;
  }

  async time<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
    const begin = this.#clock.monotonic();
    try {
      return await work();
    } finally {
      this.add(stage, this.#clock.monotonic() - begin);
    }
  }

  add(stage: Stage, ms: number): void {
    this.#stages[stage] += ms;
  }

  times(): TrainingReport["timings_ms"] {
    return { ...this.#stages, total: this.total_ms };
  }
}
