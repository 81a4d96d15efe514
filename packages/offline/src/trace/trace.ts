import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { jobFilePath } from "@lapidary/api/job-file-path";
import { calibrationWarning, simulationTrace, type Trace } from "@lapidary/simulator";
import type { Warning } from "@lapidary/std";
import { jobWarnings } from "@lapidary/training";
import { knownRun } from "../checkpoints/resolve-checkpoint.js";
import type { Directories } from "../directories.js";
import { readTraceableJob } from "../job/job-file.js";
import { configNames } from "../job/job-text.js";
import { machineOf } from "@lapidary/trainer/recipes";
import { planJob } from "../plan/plan-job.js";
import { runDirectory, runNames } from "../runs/runs.js";
import { runTrace } from "./run-trace.js";

export type { Trace } from "@lapidary/simulator";

export interface PredictionOptions {
  readonly overrides: readonly string[];
  /** A chip of `configs/chips` instead of the chip of the pod. */
  readonly chip: string | undefined;
  /** A program of the job. The step program by default. */
  readonly program: string | undefined;
}

/** Whether a word names a run and not a job file. */
export const isRun = ({ home, cwd, root }: Directories, word: string): boolean =>
  runNames(home).includes(word) ||
  (/^[a-z0-9][a-z0-9._-]*$/.test(word) &&
    !word.endsWith(".yaml") &&
    !existsSync(resolve(cwd, word)) &&
    !existsSync(join(root, "configs/jobs", `${word}.yaml`)));

/** The run of a program that the simulator predicts for a job file. */
export async function predictedTrace(
  directories: Directories,
  file: string,
  { overrides, chip, program }: PredictionOptions,
  onWarning: (warning: Warning) => void,
): Promise<Trace> {
  const { job, warnings } = await readTraceableJob(directories, file, overrides);
  [...warnings, ...jobWarnings(job)].forEach(onWarning);
  const machine = machineOf(job, directories.root, chip);
  const uncalibrated = calibrationWarning(machine.chip);
  if (uncalibrated !== undefined) onWarning(uncalibrated);
  return simulationTrace(planJob(job, machine, program).simulation, job.name);
}

/** All recorded steps of a run. */
export const recordedTrace = ({ home, root }: Pick<Directories, "home" | "root">, run: string): Trace =>
  runTrace(runDirectory(home, knownRun(home, run, configNames(root, "jobs"))), run);

/** A recorded step of a run and the predicted step of its job, from a common beginning. */
export async function recordedAndPredictedTrace(
  directories: Directories,
  run: string,
  options: PredictionOptions,
  onWarning: (warning: Warning) => void,
): Promise<Trace> {
  const directory = runDirectory(directories.home, knownRun(directories.home, run, configNames(directories.root, "jobs")));
  const recorded = runTrace(directory, run, "typical");
  return joinTraces(recorded, await predictedTrace(directories, jobFilePath(directory), options, onWarning));
}

/** Two traces in one; the processes of the second have higher ids than those of the first. */
function joinTraces(a: Trace, b: Trace): Trace {
  const pids = Math.max(...a.traceEvents.map(({ pid }) => pid)) + 1;
  const ids = Math.max(0, ...a.traceEvents.map((event) => ("id" in event ? event.id : 0))) + 1;
  const moved = b.traceEvents.map((event) =>
    "id" in event ? { ...event, id: event.id + ids, pid: event.pid + pids } : { ...event, pid: event.pid + pids },
  );
  return { ...a, traceEvents: [...a.traceEvents, ...moved] };
}
