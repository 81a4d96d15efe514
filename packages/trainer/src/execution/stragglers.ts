import type { RunReport } from "@lapidary/protocol";

/** A worker whose compute time is this many times the median … */
const factor = 2;
/** … for this many consecutive steps is a straggler. */
const consecutiveSteps = 5;
/** Smaller differences are noise. */
const least_ms = 5;

/** Finds slow workers: each step takes as long as its slowest worker. */
export class Stragglers {
  readonly #slow: number[] = [];

  /** @returns the workers that became stragglers in this step, and the ratio of their compute time to the median */
  step(report: Pick<RunReport, "workers">): { readonly worker: number; readonly times: number }[] {
    if (report.workers.length < 2) return [];
    const own = report.workers.map(({ total_ms, fabricWait_ms }) => total_ms - fabricWait_ms);
    // With two workers the median is the faster one.
    const sorted = [...own].sort((a, b) => a - b);
    const middle = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
    return own.flatMap((ms, worker) => {
      const isSlow = ms > factor * middle && ms - middle > least_ms;
      const row = (this.#slow[worker] = isSlow ? (this.#slow[worker] ?? 0) + 1 : 0);
      return row === consecutiveSteps ? [{ worker, times: ms / middle }] : [];
    });
  }
}
