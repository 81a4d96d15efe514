import type { WorkerStep } from "./frames.js";

/** A worker that the others wait for, with its busy time in a step and the median of the others, without waiting. */
export interface Straggler {
  readonly worker: number;
  readonly busy_ms: number;
  readonly others_ms: number;
}

const minSteps = 3;
const busierBy = 1.1;

/**
 * The worker whose mean busy time (without waiting) exceeds the median of the others by more than 10 %.
 *
 * @param steps recent steps; fewer than three decide nothing
 */
export function stragglerOf(steps: readonly WorkerStep[]): Straggler | undefined {
  const workers = steps.at(-1)?.times.length ?? 0;
  if (workers < 2 || steps.length < minSteps) return undefined;
  const busy = Array.from(
    { length: workers },
    (_, w) => steps.reduce((sum, { times }) => sum + (times[w]?.total_ms ?? 0) - (times[w]?.wait_ms ?? 0), 0) / steps.length,
  );
  const worker = busy.indexOf(Math.max(...busy));
  const others = busy.filter((_, w) => w !== worker).sort((a, b) => a - b);
  const [busy_ms, others_ms] = [busy[worker] ?? 0, others[others.length >> 1] ?? 0];
  return busy_ms > others_ms * busierBy ? { worker, busy_ms, others_ms } : undefined;
}
