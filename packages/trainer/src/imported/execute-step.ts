import { join } from "node:path";
import type { StepReport } from "@lapidary/api";
import { type CheckpointContent, type CheckpointParts, nativeDisk } from "@lapidary/checkpoint";
import type { MixtureDataset } from "@lapidary/data";
import { ensure } from "@lapidary/std";
import { readMetrics, type Run, viewMachine, writeProgramView } from "@lapidary/telemetry";
import { printMesh } from "@lapidary/topology";
import { meshOf, type ResolvedStepJob } from "@lapidary/training";
import type { WorkerGroup } from "@lapidary/cluster";
import { checkpointFiles } from "../execution/checkpoints.js";
import { dataDigestKey, openRunMixture } from "../execution/data-history.js";
import { eventSink } from "../execution/execute.js";
import { Goodput, goodputUntil } from "../execution/goodput.js";
import { RunPrograms } from "../execution/run-programs.js";
import { Staging } from "../execution/staging.js";
import { recordTimes, recoveryOf, type RunOptions, StepObserver, withWorkers } from "../execution/recovered-run.js";
import { release } from "../execution/start-workers.js";
import { Stopwatch } from "../execution/stopwatch.js";
import type { TrainingAttempt } from "../execution/train-options.js";
import { trainWithRecovery } from "../execution/train-with-recovery.js";
import { WorkerCountPolicy } from "../execution/worker-count-policy.js";
import { programsFor } from "../programs/programs.js";
import { importedSteps, scalarsOf, type StepInputs, tokensPerStep } from "./imported-steps.js";
import { pipelineRowsOf } from "./pipeline-rows.js";
import { StepArrays } from "./step-arrays.js";
import { loadStepState, stepStateFiles } from "./step-checkpoint.js";
import { type StepProgramSet, stepPrograms } from "./step-programs.js";

/** As for a job, whose model Lapidary builds. */
export interface StepExecutionOptions extends RunOptions {
  readonly job: ResolvedStepJob;
}

interface Parts {
  readonly options: StepExecutionOptions;
  readonly set: StepProgramSet;
  readonly inputs: StepInputs;
  readonly watch: Stopwatch;
  readonly workerCount: WorkerCountPolicy;
}

/**
 * Runs a step that a user exported from JAX, from its text to its report:
 *
 *     step.mlir ──► programs ──► worker group ──► first or last state ──► step … checkpoint … ──► report
 *
 * The state passes from results to arguments. Recovery, the step log and checkpoints are those of every run.
 *
 * @throws LapidaryError for a text or inputs that cannot be used, or a failure of the workers; the reason of the signal
 */
export async function executeStep(options: StepExecutionOptions): Promise<StepReport> {
  const { run, job, slice, clock } = options;
  const watch = new Stopwatch(clock);
  run.enter("compiling", { slice });
  const set = await watch.time("compile", () => compileStep(options));
  scalarsOf(set.imported.results, job);
  const dataset = await watch.time("load", () => openRows(options, set));
  const arrays = job.inputs === undefined ? undefined : await StepArrays.open(job.inputs);
  try {
    const parts = { options, set, inputs: { arrays, dataset }, watch, workerCount: new WorkerCountPolicy(options.workers) };
    return await train(parts);
  } finally {
    dataset?.close();
    await arrays?.close();
    run.record({ type: "workers_released", after_ms: watch.total_ms, slice });
  }
}

/** The rows of the pipeline of training data that the job names; undefined if it names none. */
async function openRows(
  { run, job, cacheDir, signal }: StepExecutionOptions,
  { imported }: StepProgramSet,
): Promise<MixtureDataset | undefined> {
  const rows = pipelineRowsOf(imported.arguments, job);
  if (rows === undefined) return undefined;
  const onProgress = ({ stage, done, total }: { stage: string; done: number; total: number }): void => {
    if (!signal.aborted) run.enter("compiling", { activity: { what: stage, done, total } });
  };
  return openRunMixture(run, rows, { cacheDir: join(cacheDir, "datasets"), signal, onProgress });
}

async function compileStep({ run, job, root, cacheDir, signal }: StepExecutionOptions): Promise<StepProgramSet> {
  const { step, mesh, shard, bucket_bytes, seed } = job;
  const request = {
    step,
    step_hash: ensure(job.step_hash, "hash of the text"),
    mesh,
    shard,
    bucket_bytes,
    seed,
    machine: viewMachine(job, root),
  };
  const set = await programsFor(request, {
    cacheDir: join(cacheDir, "programs"),
    signal,
    onProgress: (done, total) => {
      if (!signal.aborted) run.enter("compiling", { activity: { what: "compile", done, total } });
    },
  });
  if (set.view !== undefined) writeProgramView(run.directory, set.view);
  const collectives = set.facts.collectives.reduce((sum, { count }) => sum + count, 0);
  run.record({ type: "program_compiled", program: stepHash(set), parameters: set.facts.parameters, collectives });
  return set;
}

/** The hash of the step program, which identifies the program of a run. */
const stepHash = ({ programs }: StepProgramSet): string => ensure(programs[stepPrograms.step], "step").hash;

interface StepAttempt extends TrainingAttempt {
  readonly group: WorkerGroup;
}

const openAttempt = (parts: Parts, epoch: number): Promise<StepAttempt> =>
  withWorkers(parts.options, { watch: parts.watch, workerCount: parts.workerCount, epoch }, (group) => loadAttempt(parts, group));

async function loadAttempt(parts: Parts, group: WorkerGroup): Promise<StepAttempt> {
  const { options, set, inputs, watch } = parts;
  const { run, job } = options;
  const observer = new StepObserver(run, job.trace_every);
  const programs = await watch.time("load", () =>
    RunPrograms.load(group, set, { ...importedSteps(set, job, inputs), onTrained: (report) => observer.trained(report) }, undefined),
  );
  try {
    await observer.open(programs);
    const layout = [stepHash(set), printMesh(meshOf(job)), group.size, job.executor, job.numerics].join("/");
    return {
      group,
      failed: group.failed,
      layout,
      state: await stateOf(parts, programs, group, observer),
      close: async (keepReplicas) => {
        await programs.close();
        await release(group, run, keepReplicas);
      },
    };
  } catch (error) {
    await programs.close();
    throw error;
  }
}

async function stateOf(
  { options, set, inputs: { dataset }, watch }: Parts,
  programs: RunPrograms,
  group: WorkerGroup,
  observer: StepObserver,
): Promise<TrainingAttempt["state"]> {
  const { run, job, clock } = options;
  const files = stepStateFiles(set);
  const staging = await Staging.open(programs, files, (bytes) => nativeDisk?.share(bytes));
  const about = { run: run.id, mesh: printMesh(meshOf(job)), zero: 0, workers: group.size, program: stepHash(set) };
  return {
    train: (step, of) => programs.train(step, of, observer.traces(step + 1, job.steps)),
    replicate: (step, committed) => programs.replicate(step, committed),
    restoreReplicas: (latest) => programs.restoreReplicas(latest),
    load: (checkpoint) => watch.time("load", () => loadStepState(programs, files, checkpoint)),
    initialize: () =>
      watch.time("load", async () => {
        await programs.initialize();
        await programs.completeStates();
      }),
    capture: async (step) => {
      const { files: captured, release: done } = await staging.capture();
      const content = (ledger: string): CheckpointContent => {
        const time = clock.now();
        const info: [string, CheckpointParts] = [
          checkpointFiles.state,
          [
            [
              checkpointFiles.state,
              jsonBytes({ run: run.id, step, time, step_hash: job.step_hash, [dataDigestKey]: dataset?.digest(step) }),
            ],
          ],
        ];
        return { files: new Map([...captured, info]), about: { ...about, step, time, ledger } };
      };
      return { content, release: done };
    },
  };
}

const jsonBytes = (value: object): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`, "utf8");

async function train(parts: Parts): Promise<StepReport> {
  const { options, set, watch, workerCount } = parts;
  const { run, job, slice, clock } = options;
  const { goodput: saved, started_at } = run.summary;
  const { rows } = await readMetrics(run.directory, 0, Number.MAX_SAFE_INTEGER);
  const earlier = goodputUntil(clock.now(), saved, started_at ?? clock.now(), rows);
  const goodput = new Goodput(clock, earlier);
  const tokens = tokensPerStep(set);
  run.enter("placing");
  let workers = 0;
  const trained = await trainWithRecovery<StepAttempt>({
    ...recoveryOf(options, workerCount, goodput),
    open: (epoch) => openAttempt(parts, epoch),
    steps: job.steps,
    tokensPerStep: tokens,
    between: () => undefined,
    finish: ({ group }) => {
      workers = group.size;
      return Promise.resolve();
    },
    events: eventSink(run, goodput, (of) => `batch ${of} of ${job.data?.pipeline ?? job.inputs ?? `the seed ${job.seed}`}`),
  });
  recordTimes(run, watch, trained.train_ms, goodput, earlier);
  const { facts } = set;
  return {
    id: run.id,
    model: job.name,
    step_file: job.step,
    parameters: facts.parameters,
    chips: job.chips,
    workers,
    mesh: printMesh(meshOf(job)),
    slice,
    steps: job.steps,
    tokens: trained.tokens,
    train_loss: trained.loss,
    metrics: { loss: trained.loss, ...(await lastMetrics(run)) },
    checkpoint: trained.checkpoint.path,
    bytes_per_chip: facts.bytes_per_chip,
    collectives: [...facts.collectives],
    timings_ms: watch.times(),
    tokens_per_s: (tokens * job.steps * 1000) / Math.max(1, trained.train_ms),
    warnings: run.summary.warnings ?? [],
  };
}

/** Further scalar results of the last step. */
async function lastMetrics(run: Run): Promise<Readonly<Record<string, number>>> {
  const { rows } = await readMetrics(run.directory, 0, Number.MAX_SAFE_INTEGER);
  const last = rows.findLast((row) => row.kind === "train");
  return last?.metrics ?? {};
}
