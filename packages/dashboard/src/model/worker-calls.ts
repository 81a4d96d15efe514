import type { StepTrace } from "@lapidary/api/step-traces";

/** The bar of a call of a worker. */
export interface CallBar {
  readonly index: number;
  readonly kind: StepTrace["calls"][number]["kind"];
  readonly op: string;
  readonly name: string;
  readonly phase: string;
  /** Number of ops in the call. */
  readonly joins: number;
  /** Microseconds from the start of the step on the worker that started first. */
  readonly from: number;
  readonly to: number;
  /** Microseconds at the start of the call that were spent waiting for other workers. */
  readonly waited: number;
}

export interface WorkerCalls {
  readonly step: number;
  /** The calls of each worker, in the order of time. */
  readonly workers: readonly (readonly CallBar[])[];
  readonly total_us: number;
}

/** The calls of a recorded step on one time axis for all workers. */
export function workerCalls({ step, calls, workers }: StepTrace): WorkerCalls {
  const first = Math.min(...workers.map(({ began_ms }) => began_ms));
  const lanes = workers.map(({ began_ms, calls_us }) =>
    calls.map(({ kind, op, name, phase, joins }, index): CallBar => {
      const [start = 0, length = 0, waited = 0] = calls_us.slice(3 * index, 3 * index + 3);
      const from = (began_ms - first) * 1000 + start;
      return { index, kind, op, name, phase, joins: joins ?? 1, from, to: from + length, waited };
    }),
  );
  return { step, workers: lanes, total_us: Math.max(1, ...lanes.map((lane) => lane.at(-1)?.to ?? 0)) };
}

/** The call at a time, or the nearest within `slack` of it. */
export function callAt(lane: readonly CallBar[], us: number, slack: number): CallBar | undefined {
  let [low, high] = [0, lane.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lane[middle]?.from ?? 0) <= us) low = middle + 1;
    else high = middle;
  }
  const near = [lane[low - 1], lane[low]].filter((bar): bar is CallBar => bar !== undefined);
  const distance = (bar: CallBar): number => (us < bar.from ? bar.from - us : Math.max(0, us - bar.to));
  const best = near.sort((a, b) => distance(a) - distance(b))[0];
  return best !== undefined && distance(best) <= slack ? best : undefined;
}
