import { readStepTraces, type StepTrace } from "@lapidary/api/step-traces";
import { withoutBlocks } from "@lapidary/ir";
import { runDirectory } from "../runs/runs.js";

/** The times of a run's recorded steps in milliseconds: medians over steps, means over workers. */
export interface StepProfile {
  /** Number of recorded steps in the profile. The first step is omitted if others exist, because it warms up. */
  readonly steps: number;
  readonly step_ms: number;
  readonly split_ms: {
    readonly products: number;
    readonly fused: number;
    readonly other_kernels: number;
    readonly messages: number;
    readonly waiting: number;
    readonly between_calls: number;
  };
  /** The longest calls; equal calls of all blocks are one entry. */
  readonly calls: readonly {
    readonly name: string;
    readonly kind: string;
    readonly phase: string;
    readonly count: number;
    readonly ms: number;
  }[];
  /** Duration and parts of each recorded step. */
  readonly each: readonly { readonly step: number; readonly step_ms: number; readonly split_ms: StepProfile["split_ms"] }[];
}

/** The profile of a run; undefined if no step was recorded. */
export const readStepProfile = (home: string, run: string): StepProfile | undefined => stepProfile(readStepTraces(runDirectory(home, run)));

export function stepProfile(traces: readonly StepTrace[]): StepProfile | undefined {
  const used = traces.length > 1 ? traces.slice(1) : traces;
  if (used.length === 0) return undefined;
  const each = used.map((trace) => ({ step: trace.step, ...splitOf(trace) }));
  const medianOf = (pick: (step: (typeof each)[number]) => number): number => median(each.map(pick));
  const keys = ["products", "fused", "other_kernels", "messages", "waiting", "between_calls"] as const;
  return {
    steps: used.length,
    step_ms: medianOf((step) => step.step_ms),
    split_ms: Object.fromEntries(keys.map((key) => [key, medianOf(({ split_ms }) => split_ms[key])])) as StepProfile["split_ms"],
    calls: longestCalls(used),
    each,
  };
}

function splitOf({ calls, workers }: StepTrace): Pick<StepProfile["each"][number], "step_ms" | "split_ms"> {
  const sums = { products: 0, fused: 0, other_kernels: 0, messages: 0, waiting: 0, between_calls: 0 };
  const keyOf = { product: "products", fused: "fused", kernel: "other_kernels", start: "messages", finish: "messages" } as const;
  let total = 0;
  for (const { calls_us } of workers) {
    let busy = 0;
    calls.forEach(({ kind }, i) => {
      const [length, waited] = [calls_us[3 * i + 1] ?? 0, calls_us[3 * i + 2] ?? 0];
      sums[keyOf[kind]] += length - waited;
      sums.waiting += waited;
      busy += length;
    });
    const end = (calls_us.at(-3) ?? 0) + (calls_us.at(-2) ?? 0);
    total += end;
    sums.between_calls += end - busy;
  }
  const ms = (us: number): number => us / 1000 / workers.length;
  return {
    step_ms: ms(total),
    split_ms: Object.fromEntries(Object.entries(sums).map(([key, us]) => [key, ms(us)])) as StepProfile["split_ms"],
  };
}

function longestCalls(traces: readonly StepTrace[]): StepProfile["calls"] {
  const workers = traces[0]?.workers.length ?? 1;
  const groups = new Map<string, { name: string; kind: string; phase: string; count: number; us: number }>();
  const blocks = new Set(traces.flatMap(({ calls }) => calls.flatMap(({ block }) => block ?? [])));
  for (const { calls, workers } of traces)
    calls.forEach(({ kind, op, name, phase }, i) => {
      const shown = `${kind === "start" || kind === "finish" ? `${kind} ${op} ` : ""}${withoutBlocks(name, blocks)}`;
      const key = `${kind} ${shown} ${phase}`;
      const group = groups.get(key) ?? { name: shown, kind, phase, count: 0, us: 0 };
      group.count++;
      for (const { calls_us } of workers) group.us += (calls_us[3 * i + 1] ?? 0) - (calls_us[3 * i + 2] ?? 0);
      groups.set(key, group);
    });
  return [...groups.values()]
    .sort((a, b) => b.us - a.us)
    .slice(0, 12)
    .map(({ us, count, ...rest }) => ({ ...rest, count: Math.round(count / traces.length), ms: us / 1000 / workers / traces.length }));
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
