import type { StepTrace } from "@lapidary/coordinator/views/step-traces";

/** A call of a worker, as it is drawn. */
export interface CallBar {
  readonly index: number;
  readonly kind: StepTrace["calls"][number]["kind"];
  readonly op: string;
  readonly name: string;
  readonly phase: string;
  /** Ops that a fused kernel joins. */
  readonly joins: number;
  /** Microseconds from the beginning of the step on the first worker that began. */
  readonly from: number;
  readonly to: number;
  /** What of it was waiting for other workers, at its beginning. */
  readonly waited: number;
}

export interface WorkerCalls {
  readonly step: number;
  /** By worker, each by time. */
  readonly workers: readonly (readonly CallBar[])[];
  readonly total_us: number;
}

/** The calls of a recorded step on one time axis for all workers. */
export function workerCalls({ step, calls, workers }: StepTrace): WorkerCalls {
  const first = Math.min(...workers.map(({ began_ms }) => began_ms));
  const lanes = workers.map(({ began_ms, calls_us }) =>
    calls.map(({ kind, op, name, phase, joins }, index): CallBar => {
      const [begin = 0, length = 0, waited = 0] = calls_us.slice(3 * index, 3 * index + 3);
      const from = (began_ms - first) * 1000 + begin;
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
  const far = (bar: CallBar): number => (us < bar.from ? bar.from - us : Math.max(0, us - bar.to));
  const best = near.sort((a, b) => far(a) - far(b))[0];
  return best !== undefined && far(best) <= slack ? best : undefined;
}
