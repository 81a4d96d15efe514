import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { metricsRowSchema, type TrainRow } from "@lapidary/coordinator/api";
import { readWorkerSteps } from "@lapidary/coordinator/views/worker-steps";
import type { Trace, TraceEvent } from "@lapidary/simulator";
import { ExitCode, LapidaryError } from "@lapidary/std";

type WorkerStep = ReturnType<typeof readWorkerSteps>["steps"][number];

/** What a worker's step is made of, in the order in which it is drawn: how long each took is recorded, not when. */
const parts = [
  ["gemm_ms", "matrix products"],
  ["other_ms", "other kernels"],
  ["wait_ms", "waits for other workers"],
] as const;

/**
 * The steps of a run as its workers really did them, a process a worker: from `worker-steps.bin` and `metrics.jsonl` of its directory.
 *
 * @param only the step in the middle of the run by its time, drawn from 0: to set beside a predicted one
 * @throws LAP_TRACE_NO_STEPS (exit 101) where no step has been recorded yet
 */
export function runTrace(directory: string, run: string, only: "all" | "typical" = "all"): Trace {
  const { steps } = readWorkerSteps(directory, 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  if (steps.length === 0)
    throw new LapidaryError({
      code: "LAP_TRACE_NO_STEPS",
      message: `no step of run ${run} has been recorded`,
      place: directory,
      remedy: "wait until it trains",
      exit: ExitCode.notFinished,
    });
  const ends = endTimes(directory);
  const chosen = only === "all" ? steps : [typical(steps)];
  const first = chosen[0] as WorkerStep;
  const origin = only === "all" ? (ends.get(first.step) ?? 0) - longest(first) : undefined;
  const events: TraceEvent[] = [];
  first.times.forEach((_, worker) => {
    events.push(
      { ph: "M", name: "process_name", pid: worker, tid: 0, args: { name: `run ${run}: worker ${worker} (recorded)` } },
      { ph: "M", name: "thread_name", pid: worker, tid: 0, args: { name: "steps" } },
    );
    let free = 0;
    for (const step of chosen) {
      const time = step.times[worker];
      if (time === undefined) continue;
      const end = origin === undefined ? time.total_ms : (ends.get(step.step) ?? 0) - origin;
      const begin = Math.max(free, end - time.total_ms);
      free = begin + time.total_ms;
      events.push(slice(worker, `step ${step.step}`, "step", begin, time.total_ms));
      let at = begin;
      for (const [key, name] of parts) {
        const length = Math.min(time[key], begin + time.total_ms - at);
        if (length > 0) events.push(slice(worker, name, key, at, length));
        at += Math.max(0, length);
      }
    }
  });
  return {
    traceEvents: events,
    displayTimeUnit: "ms",
    otherData: { run, order: "parts of a step are drawn one after another; their lengths are recorded, their order is not" },
  };
}

const longest = ({ times }: WorkerStep): number => Math.max(...times.map(({ total_ms }) => total_ms));
const typical = (steps: readonly WorkerStep[]): WorkerStep =>
  [...steps].sort((a, b) => longest(a) - longest(b))[Math.floor(steps.length / 2)] as WorkerStep;

function slice(pid: number, name: string, cat: string, from_ms: number, length_ms: number): TraceEvent {
  // Both ends are rounded, so that neighbours touch and never overlap.
  const [from, to] = [Math.round(from_ms * 1000), Math.round((from_ms + length_ms) * 1000)];
  return { ph: "X", name, cat, ts: from, dur: to - from, pid, tid: 0, args: {} };
}

/** When each step was done, in milliseconds since the epoch; of a step that was done again, the last time. */
function endTimes(directory: string): Map<number, number> {
  const file = join(directory, "metrics.jsonl");
  const rows = (existsSync(file) ? readFileSync(file, "utf8") : "").split("\n").flatMap((line): TrainRow[] => {
    try {
      const row = metricsRowSchema.safeParse(JSON.parse(line));
      return row.success && row.data.kind === "train" ? [row.data] : [];
    } catch {
      // A torn last line: the run is being written to.
      return [];
    }
  });
  return new Map(rows.map(({ step, time }) => [step, time]));
}
