import type { WorkerStep, WorkerTimes } from "@lapidary/api/frames";
import { stragglerOf } from "@lapidary/api/straggler";

export const heatFields = ["total_ms", "gemm_ms", "other_ms", "wait_ms"] as const satisfies readonly (keyof WorkerTimes)[];
export type HeatField = (typeof heatFields)[number];

const maxSteps = 2000;

/**
 * The step times of the workers, in bounded memory: if there are too many steps, of each two adjacent steps the one with the slower worker is kept.
 */
export class WorkerHeat {
  workers = 0;
  steps: WorkerStep[] = [];

  add(workers: number, steps: readonly WorkerStep[]): void {
    if (workers !== this.workers) this.steps = [];
    this.workers = workers;
    for (const step of steps) {
      while ((this.steps.at(-1)?.step ?? 0) >= step.step) this.steps.pop();
      this.steps.push(step);
    }
    while (this.steps.length > maxSteps) {
      const pairs = this.steps;
      this.steps = [];
      for (let i = 0; i < pairs.length; i += 2) {
        const [a, b] = [pairs[i], pairs[i + 1]];
        if (a !== undefined) this.steps.push(b === undefined || slowest(a) >= slowest(b) ? a : b);
      }
    }
  }

  get last(): WorkerStep | undefined {
    return this.steps.at(-1);
  }

  /** The range of the colours of a field: the 1st to the 99th percentile, so that one outlier does not darken the rest. */
  range(field: HeatField): { readonly low: number; readonly high: number } {
    const values = this.steps.flatMap(({ times }) => times.map((time) => time[field])).sort((a, b) => a - b);
    const at = (share: number): number => values[Math.min(values.length - 1, Math.floor(share * values.length))] ?? 0;
    return { low: at(0.01), high: Math.max(at(0.99), at(0.01) + 1e-9) };
  }

  /** The mean of a field over the last steps, by worker. */
  means(field: HeatField, over = 100): number[] {
    const recent = this.recent(over);
    return Array.from(
      { length: this.workers },
      (_, w) => recent.reduce((sum, { times }) => sum + (times[w]?.[field] ?? 0), 0) / Math.max(1, recent.length),
    );
  }

  /** The worker that the others wait for in the recent steps. */
  straggler(): number | undefined {
    return stragglerOf(this.recent())?.worker;
  }

  recent(count = 100): readonly WorkerStep[] {
    return this.steps.slice(-count);
  }
}

const slowest = ({ times }: WorkerStep): number => Math.max(...times.map(({ total_ms }) => total_ms));
