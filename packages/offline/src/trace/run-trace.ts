import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { metricsRowSchema, type TrainRow } from "@lapidary/api";
import { type CallName, readStepTraces } from "@lapidary/api/step-traces";
import { readWorkerSteps } from "@lapidary/api/worker-steps";
import type { Trace, TraceEvent } from "@lapidary/simulator";
import { counted, LapidaryError } from "@lapidary/std";
import { hasEnded } from "../runs/runs.js";

type WorkerStep = ReturnType<typeof readWorkerSteps>["steps"][number];

/** The parts of a worker's step. If only their durations are known, they are drawn in this order. */
const parts = [
  ["gemm_ms", "matmuls"],
  ["other_ms", "other kernels"],
  ["wait_ms", "waits for other workers"],
] as const;

/** Threads of a worker: its steps, its calls, and messages in flight. Overlapping messages have separate lanes. */
const [stepsThread, callsThread, messagesThread] = [0, 1, 2];

/**
 * The recorded steps of a run, one process for each worker. If a step was recorded call by call (`trace_every` of the job), the trace has every kernel, every
 * collective from start to finish, and the waiting time of the finish. Of other steps it has the durations of matmuls, other kernels and waiting, from
 * `worker-steps.bin`.
 *
 * @param only `typical`: one step of median length, drawn from 0, for comparison with a predicted step
 * @throws LAP_TRACE_NO_STEPS (exit 101) if no step is recorded yet
 */
export function runTrace(directory: string, run: string, only: "all" | "typical" = "all"): Trace {
  const { steps } = readWorkerSteps(directory, 0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  if (steps.length === 0)
    throw new LapidaryError({
      code: "LAP_TRACE_NO_STEPS",
      message: `no step of run ${run} has been recorded`,
      location: directory,
      remedy: hasEnded(directory)
        ? `the run ended before its first step: \`lapidary jobs get ${run}\` shows the reason`
        : "wait until the run trains; `lapidary jobs` shows its state",
    });
  const traces = new Map(readStepTraces(directory).map((trace) => [trace.step, trace]));
  const ends = endTimes(directory);
  const inFull = steps.filter(({ step }) => traces.has(step));
  const chosen = only === "all" ? steps : [typical(inFull.length === 0 ? steps : inFull)];
  const first = chosen[0] as WorkerStep;
  const origin = only === "all" ? (ends.get(first.step) ?? 0) - longest(first) : undefined;
  const events: TraceEvent[] = [];
  let arrows = 0;
  first.times.forEach((_, worker) => {
    events.push(
      { ph: "M", name: "process_name", pid: worker, tid: 0, args: { name: `run ${run}: worker ${worker} (recorded)` } },
      thread(worker, stepsThread, "steps"),
      thread(worker, callsThread, "calls"),
    );
    let free = 0;
    for (const step of chosen) {
      const time = step.times[worker];
      if (time === undefined) continue;
      const trace = traces.get(step.step);
      const begins = trace?.workers.map(({ began_ms }) => began_ms);
      // By the shared clock of the workers if it was recorded, otherwise as if all workers had ended at the same time.
      const late = begins === undefined ? longest(step) - time.total_ms : (begins[worker] ?? 0) - Math.min(...begins);
      const end = origin === undefined ? longest(step) : (ends.get(step.step) ?? 0) - origin;
      const begin = Math.max(free, end - longest(step) + late);
      free = begin + time.total_ms;
      events.push(slice(worker, stepsThread, `step ${step.step}`, "step", begin, time.total_ms));
      const own = trace?.workers[worker];
      if (trace !== undefined && own !== undefined) {
        events.push(...callEvents(worker, begin * 1000, trace.calls, own.calls_us, arrows));
        arrows += trace.calls.length;
        continue;
      }
      let at = begin;
      for (const [key, name] of parts) {
        const length = Math.min(time[key], begin + time.total_ms - at);
        if (length > 0) events.push(slice(worker, stepsThread, name, key, at, length));
        at += Math.max(0, length);
      }
    }
    const lanes = Math.max(-1, ...events.map(({ pid, tid }) => (pid === worker ? tid : -1))) - messagesThread + 1;
    for (let lane = 0; lane < lanes; lane++)
      events.push(thread(worker, messagesThread + lane, lane === 0 ? "messages" : `messages (${lane + 1})`));
  });
  return {
    traceEvents: events,
    displayTimeUnit: "ms",
    otherData: {
      run,
      recorded: `${inFull.length} of ${counted(steps.length, "step")} call by call; of other steps, the parts are drawn one after another, because only their durations are known`,
    },
  };
}

/** Every call of one worker's step, from `origin` on, in microseconds. */
function callEvents(pid: number, origin: number, calls: readonly CallName[], times: readonly number[], firstArrow: number): TraceEvent[] {
  const events: TraceEvent[] = [];
  const at = (i: number): { begin: number; length: number; waited: number } => ({
    begin: Math.round(origin + (times[3 * i] ?? 0)),
    length: times[3 * i + 1] ?? 0,
    waited: times[3 * i + 2] ?? 0,
  });
  const started = new Map<string, number>();
  const lanes: number[] = [];
  calls.forEach(({ kind, op, name, phase, joins }, i) => {
    const { begin, length, waited } = at(i);
    const args = { phase, op, ...(joins === undefined ? {} : { joins }) };
    const label =
      kind === "start" || kind === "finish" ? `${kind} ${op} ${name}` : kind === "fused" ? `${name} (${joins ?? 1} fused)` : name;
    events.push({ ph: "X", name: label, cat: kind, ts: begin, dur: length, pid, tid: callsThread, args });
    if (kind === "start") started.set(`${op} ${name} ${phase}`, i);
    if (kind !== "finish") return;
    if (waited > 0)
      events.push({
        ph: "X",
        name: "waits for another worker",
        cat: "wait",
        ts: begin,
        dur: Math.min(waited, length),
        pid,
        tid: callsThread,
        args: {},
      });
    const from = started.get(`${op} ${name} ${phase}`);
    if (from === undefined) return;
    const sent = at(from).begin;
    const [ts, end] = [sent, begin + length];
    let lane = lanes.findIndex((until) => until <= ts);
    if (lane < 0) lane = lanes.length;
    lanes[lane] = end;
    const tid = messagesThread + lane;
    const arrow = { name: op, cat: "message", id: firstArrow + i, pid };
    events.push(
      { ph: "X", name: `${op} ${name}`, cat: op, ts, dur: end - ts, pid, tid, args: { phase } },
      { ph: "s", ...arrow, tid: callsThread, ts: sent },
      { ph: "t", ...arrow, tid, ts },
      { ph: "f", ...arrow, tid: callsThread, ts: begin, bp: "e" },
    );
  });
  return events;
}

const longest = ({ times }: WorkerStep): number => Math.max(...times.map(({ total_ms }) => total_ms));
const typical = (steps: readonly WorkerStep[]): WorkerStep =>
  [...steps].sort((a, b) => longest(a) - longest(b))[Math.floor(steps.length / 2)] as WorkerStep;

const thread = (pid: number, tid: number, name: string): TraceEvent => ({ ph: "M", name: "thread_name", pid, tid, args: { name } });

function slice(pid: number, tid: number, name: string, cat: string, from_ms: number, length_ms: number): TraceEvent {
  // Both ends are rounded, so that neighbours touch and never overlap.
  const [from, to] = [Math.round(from_ms * 1000), Math.round((from_ms + length_ms) * 1000)];
  return { ph: "X", name, cat, ts: from, dur: to - from, pid, tid, args: {} };
}

/** The end of each step in milliseconds since the epoch; of a repeated step, the last end. */
function endTimes(directory: string): Map<number, number> {
  const file = join(directory, "metrics.jsonl");
  const rows = (existsSync(file) ? readFileSync(file, "utf8") : "").split("\n").flatMap((line): TrainRow[] => {
    try {
      const row = metricsRowSchema.safeParse(JSON.parse(line));
      return row.success && row.data.kind === "train" ? [row.data] : [];
    } catch {
      // An incomplete last line, which the run is writing.
      return [];
    }
  });
  return new Map(rows.map(({ step, time }) => [step, time]));
}
