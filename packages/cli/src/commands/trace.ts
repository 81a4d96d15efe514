import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { jobFilePath } from "@lapidary/api/job-file";
import { calibrationWarning, simulationTrace, type Trace } from "@lapidary/simulator";
import { ExitCode, formatBytes, jsonText, LapidaryError } from "@lapidary/std";
import { jobWarnings } from "@lapidary/training";
import type { Context } from "../context.js";
import { checkOutput, writeOutputFile } from "../output/output.js";
import { machineOf, planJob } from "../plan/plan-job.js";
import { runTrace } from "../plan/run-trace.js";
import { knownRun, runNames } from "./resolve-checkpoint.js";
import { readJob } from "./job-file.js";

export interface TraceRequest {
  /** A job file, or a run. */
  readonly subject: string;
  readonly overrides: readonly string[];
  /** The file to write. */
  readonly output: string;
  /** For a run: a measured step and the predicted step. */
  readonly diff: boolean;
  readonly chip: string | undefined;
}

/**
 * Writes a trace for Perfetto (ui.perfetto.dev) or chrome://tracing. For a job: the step that the simulator predicts. For a run: a measured step of its workers,
 * or with `--diff` the measured and the predicted step.
 */
export async function trace(context: Context, request: TraceRequest): Promise<ExitCode> {
  const { console, cwd } = context;
  const progress = console.progress();
  progress.update("write a trace of", request.subject);
  const file = resolve(cwd, request.output);
  checkOutput({ kind: "file", path: file, what: "the trace" });
  const written = isRun(context, request.subject) ? traceOfRun(context, request) : traceOfJob(context, request);
  const text = jsonText(written);
  writeOutputFile(file, "the trace", text);
  progress.end();
  console.result(
    { file, events: written.traceEvents.length },
    () => `${file}: ${written.traceEvents.length} events, ${formatBytes(text.length)}; open it in ui.perfetto.dev or chrome://tracing`,
  );
  return ExitCode.done;
}

/** Whether a word names a run and not a file. */
const isRun = ({ home, cwd, root }: Context, word: string): boolean =>
  runNames(home).includes(word) ||
  (/^[a-z0-9][a-z0-9._-]*$/.test(word) &&
    !word.endsWith(".yaml") &&
    !existsSync(resolve(cwd, word)) &&
    !existsSync(join(root, "configs/jobs", `${word}.yaml`)));

function traceOfJob(context: Context, { subject, overrides, diff, chip }: TraceRequest): Trace {
  if (diff)
    throw new LapidaryError({
      code: "LAP_CLI_ARGUMENT",
      message: "--diff compares a run with its predicted step, but this is a job file",
      place: "--diff",
      remedy: "name a run, as `lapidary jobs` lists them",
    });
  return predicted(context, subject, overrides, chip);
}

function traceOfRun(context: Context, { subject, overrides, diff, chip }: TraceRequest): Trace {
  const directory = join(context.home, "runs", knownRun(context.home, subject));
  if (!diff) return runTrace(directory, subject);
  return sideBySide(runTrace(directory, subject, "typical"), predicted(context, jobFilePath(directory), overrides, chip));
}

function predicted(context: Context, path: string, overrides: readonly string[], chip: string | undefined): Trace {
  const job = readJob(context, path, overrides);
  for (const warning of jobWarnings(job)) context.console.warn(warning);
  const machine = machineOf(job, context.root, chip);
  const uncalibrated = calibrationWarning(machine.chip);
  if (uncalibrated !== undefined) context.console.warn(uncalibrated);
  return simulationTrace(planJob(job, machine).simulation, job.name);
}

/** Two traces from one beginning, the processes of the second behind those of the first. */
function sideBySide(a: Trace, b: Trace): Trace {
  const pids = Math.max(...a.traceEvents.map(({ pid }) => pid)) + 1;
  const ids = Math.max(0, ...a.traceEvents.map((event) => ("id" in event ? event.id : 0))) + 1;
  const moved = b.traceEvents.map((event) =>
    "id" in event ? { ...event, id: event.id + ids, pid: event.pid + pids } : { ...event, pid: event.pid + pids },
  );
  return { ...a, traceEvents: [...a.traceEvents, ...moved] };
}
