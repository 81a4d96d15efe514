import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { simulationTrace, type Trace } from "@lapidary/simulator";
import { ExitCode, formatBytes } from "@lapidary/std";
import type { Context } from "../context.js";
import { machineOf, planJob } from "../plan/plan-job.js";
import { readJob } from "./job-file.js";

export interface TraceRequest {
  readonly job: string;
  readonly overrides: readonly string[];
  /** The file to write. */
  readonly output: string;
  /** Another job to put beside it. */
  readonly diff: string | undefined;
  readonly chip: string | undefined;
}

/** Writes the predicted step of a job as trace events, for Perfetto (ui.perfetto.dev) or chrome://tracing. */
export async function trace(context: Context, request: TraceRequest): Promise<ExitCode> {
  const { console, cwd, root } = context;
  const progress = console.progress();
  const traceOf = (path: string): Trace => {
    progress.update("compile and time the step", path);
    const job = readJob(context, path, request.overrides);
    return simulationTrace(planJob(job, machineOf(job, root, request.chip)).simulation, job.name);
  };
  const first = traceOf(request.job);
  const written = request.diff === undefined ? first : sideBySide(first, traceOf(request.diff));
  const file = resolve(cwd, request.output);
  const text = JSON.stringify(written);
  writeFileSync(file, text);
  progress.end();
  console.result(
    { file, events: written.traceEvents.length },
    () => `${file}: ${written.traceEvents.length} events, ${formatBytes(text.length)}; open it in ui.perfetto.dev or chrome://tracing`,
  );
  return ExitCode.done;
}

/** Two steps from one beginning, the processes of the second behind those of the first. */
function sideBySide(a: Trace, b: Trace): Trace {
  const pids = Math.max(...a.traceEvents.map(({ pid }) => pid)) + 1;
  const ids = Math.max(0, ...a.traceEvents.map((event) => ("id" in event ? event.id : 0))) + 1;
  return {
    ...a,
    traceEvents: [
      ...a.traceEvents,
      ...b.traceEvents.map((event) =>
        "id" in event ? { ...event, id: event.id + ids, pid: event.pid + pids } : { ...event, pid: event.pid + pids },
      ),
    ],
  };
}
