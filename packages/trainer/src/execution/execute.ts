import { join } from "node:path";
import { chatTokenizer, MixtureDataset, promptOfUser } from "@lapidary/data";
import type { ArrayData, ProgramHash } from "@lapidary/protocol";
import { type LapidaryError, ensure, raceAbort, type Warning } from "@lapidary/std";
import { printMesh } from "@lapidary/topology";
import { givenTokenizer, meshOf, needsInit, type ResolvedJob, trainsOnExamples } from "@lapidary/training";
import type { GoodputReport, MetricsRow, TrainingReport } from "@lapidary/api";
import { heldoutLossesOf } from "@lapidary/api/heldout-losses";
import { type CheckpointContent, nativeDisk } from "@lapidary/checkpoint";
import type { WorkerGroup } from "@lapidary/cluster";
import type { ProgramSet } from "../programs/build.js";
import { programRequest } from "../programs/program-request.js";
import { readStopRule } from "../recipes/completion-text.js";
import { checkJobInputs } from "../recipes/check-job-inputs.js";
import type { Recipe, RecipeInputs, StepEvaluation } from "../recipes/recipe.js";
import { recipeOf } from "../recipes/recipes.js";
import { programsFor } from "../programs/programs.js";
import { readMetrics, type Run, runFiles, viewMachine, writeProgramView } from "@lapidary/telemetry";
import { runBoth } from "./abort.js";
import { listCheckpoints, loadWeights } from "./checkpoints.js";
import { WorkerCountPolicy } from "./worker-count-policy.js";
import { cutPromptWarning, generateSample } from "./generate-sample.js";
import { Goodput, goodputUntil } from "./goodput.js";
import { HeldoutEvaluations } from "./heldout-evaluations.js";
import { prepareData, type RunDataset } from "./prepare-data.js";
import { RunPrograms, type RunSteps } from "./run-programs.js";
import { checkpointForm } from "./checkpoint-form.js";
import { type CheckpointFiles, checkpointOf, staticFiles, loadState } from "./checkpoint-contents.js";
import { Staging } from "./staging.js";
import { stateFilesOf } from "./state-files.js";
import { recordTimes, recoveryOf, StepObserver, withWorkers } from "./recovered-run.js";
import { release } from "./start-workers.js";
import { Stopwatch } from "./stopwatch.js";
import type { TrainEvents, TrainingAttempt } from "./train-options.js";
import type { ExecutionOptions } from "./execution-options.js";
import { trainWithRecovery } from "./train-with-recovery.js";

/**
 * Runs a job from its file to its report:
 *
 *     corpus ──► dataset ─┐                     ┌────────────── a failure ──────────────┐
 *     job ──► programs ───┴──► worker group ◄───┘ ──► first or last state ──► steps … evaluation, checkpoint … ──► sample ──► report
 *
 * It records its progress in the files of the run. It keeps no tensors except those of a checkpoint. When it settles, by success, failure or the
 * signal, the workers are free again.
 *
 * @throws LapidaryError for an invalid job, data or fit, or a failure of its workers; the reason of the signal
 */
export async function execute(options: ExecutionOptions): Promise<TrainingReport> {
  const { run, job, signal, clock } = options;
  const watch = new Stopwatch(clock);
  const { goodput: saved, started_at } = run.summary;
  const { rows } = await readMetrics(run.directory, 0, Number.MAX_SAFE_INTEGER);
  const earlier = goodputUntil(clock.now(), saved, started_at ?? clock.now(), rows);
  const goodput = new Goodput(clock, earlier);
  run.enter("compiling", { slice: options.slice });
  // Files may have changed while the job waited. A run that has a checkpoint reads `train.init` again only for the weights under an adapter.
  const readsInit = needsInit(job) || (await listCheckpoints(join(run.directory, runFiles.checkpoints))).length === 0;
  await checkJobInputs(job, { projectRoot: options.root, readsInit, readsTokenizer: false });
  const [dataset, programSet] = await runBoth(
    signal,
    (either) => watch.time("prepare", () => prepareData(options, either)),
    (either) => watch.time("compile", () => compile(options, either)),
  );
  try {
    return await train({ ...options, rows, earlier, goodput }, watch, dataset, programSet);
  } finally {
    dataset.close();
    run.record({ type: "workers_released", after_ms: watch.total_ms, slice: options.slice });
  }
}

/** The time of the run under earlier coordinators, from its files, and the accounting of its whole time. */
interface Past {
  readonly rows: readonly MetricsRow[];
  readonly earlier: GoodputReport;
  readonly goodput: Goodput;
}

async function compile({ run, job, root, cacheDir }: ExecutionOptions, signal: AbortSignal): Promise<ProgramSet> {
  const tokenizer = job.recipe === "rl" ? givenTokenizer(job.data, job.train) : undefined;
  const stop = tokenizer === undefined ? {} : { stop: readStopRule(tokenizer) };
  const set = await programsFor(
    { ...programRequest(job), ...stop, machine: viewMachine(job, root) },
    {
      cacheDir: join(cacheDir, "programs"),
      signal,
      onProgress: (done, total) => {
        if (!signal.aborted) run.enter("compiling", { activity: { what: "compile", done, total } });
      },
    },
  );
  if (set.view !== undefined) writeProgramView(run.directory, set.view);
  run.record({
    type: "program_compiled",
    program: stepHash(job, set),
    parameters: set.facts.parameters,
    collectives: set.facts.collectives.reduce((sum, { count }) => sum + count, 0),
  });
  return set;
}

/** The hash of the step program, which identifies the program of a run. */
const stepHash = (job: ResolvedJob, { programs }: ProgramSet): ProgramHash => {
  const { stepProgram } = recipeOf(job);
  return ensure(programs[stepProgram], stepProgram).hash;
};

/** A worker group with the programs and the state of the run. */
class Attempt implements TrainingAttempt {
  readonly failed: Promise<LapidaryError>;
  readonly #run: Run;

  constructor(
    run: Run,
    readonly group: WorkerGroup,
    readonly programs: RunPrograms,
    readonly state: TrainingAttempt["state"],
    readonly layout: string,
  ) {
    this.failed = group.failed;
    this.#run = run;
  }

  /** Returns the workers to the pool. */
  async close(keepReplicas: boolean): Promise<void> {
    await this.programs.close();
    await release(this.group, this.#run, keepReplicas);
  }
}

/** Steps repeat a warning with other numbers: the run has the first of each code. */
function warnOfKind(run: Run, warnings: readonly Warning[]): void {
  const known = new Set(run.summary.warnings?.map(({ code }) => code));
  const first = warnings.filter(({ code }) => !known.has(code));
  if (first.length > 0) run.warn(first);
}

/** The steps of a recipe with what they depend on. */
const stepsOf = (recipe: Recipe, inputs: RecipeInputs): RunSteps => ({
  stepProgram: recipe.stepProgram,
  batchArrays: recipe.batchArrays,
  open: (run) => recipe.open(run, inputs),
});

/** Values that all attempts of one execution share. */
interface Prepared {
  readonly options: ExecutionOptions;
  readonly watch: Stopwatch;
  readonly dataset: RunDataset;
  readonly set: ProgramSet;
  readonly workerCount: WorkerCountPolicy;
  readonly checkpointed: (files: CheckpointFiles, step: number, ledger: string, workers: number) => CheckpointContent;
}

function openAttempt(prepared: Prepared, epoch: number): Promise<Attempt> {
  return withWorkers(prepared.options, { watch: prepared.watch, workerCount: prepared.workerCount, epoch }, (group) =>
    loadAttempt(prepared, group),
  );
}

async function loadAttempt({ options, watch, dataset, set, checkpointed }: Prepared, group: WorkerGroup): Promise<Attempt> {
  const { run, job } = options;
  let loaded: RunPrograms | undefined;
  try {
    const { batch, seq, init } = job.train;
    const observer = new StepObserver(run, job.trace_every);
    const source = { directory: dataset.directory, seed: job.seed, batch, seq };
    const recipe = recipeOf(job);
    const programs = await watch.time("load", () =>
      RunPrograms.load(
        group,
        set,
        {
          ...stepsOf(recipe, {
            job,
            dataset,
            onSamples: (step, completions) => run.record({ type: "completions_sampled", step, completions: [...completions] }),
            onWarnings: (warnings) => warnOfKind(run, warnings),
            onEvent: (step, name, values) => run.record({ type: "recipe_noted", step, name, values: { ...values } }),
            onActivity: (activity) => run.enter("running", activity === undefined ? {} : { activity }),
            workers: group.size,
            cacheDir: options.cacheDir,
          }),
          onTrained: (report) => observer.trained(report),
        },
        source,
      ),
    );
    loaded = programs;
    await observer.open(programs);
    if (init !== undefined && programs.frozen.length > 0)
      await watch.time("load", () => loadWeights(init, job.model.config, (name, array) => programs.putFrozen(name, array)));
    const staging = await Staging.open(programs, stateFilesOf(checkpointForm(job), programs), (bytes) => nativeDisk?.share(bytes));
    const state: TrainingAttempt["state"] = {
      train: (step, of) => programs.train(step, of, observer.traces(step + 1, job.train.steps)),
      replicate: (step, committed) => programs.replicate(step, committed),
      restoreReplicas: (latest) => programs.restoreReplicas(latest),
      load: (checkpoint) => watch.time("load", () => loadState(programs, checkpointForm(job), checkpoint, job.rl?.iterations)),
      initialize: () =>
        watch.time("load", async () => {
          await programs.initialize();
          if (init !== undefined && programs.frozen.length === 0) {
            const put = (name: string, array: ArrayData): Promise<void> => programs.putWeight(name, array);
            const warnings = await loadWeights(init, job.model.config, put, checkpointForm(job).pipeline);
            for (const warning of warnings) run.record({ ...warning, type: "warning_found", place: warning.place ?? "train.init" });
            run.record({ type: "weights_loaded", path: init });
          }
          await programs.completeStates();
        }),
      capture: async (step) => {
        const { files, release } = await staging.capture();
        return { content: (ledger) => checkpointed(files, step, ledger, group.size), release };
      },
    };
    const layout = [stepHash(job, set), printMesh(meshOf(job)), group.size, job.executor, job.numerics].join("/");
    return new Attempt(run, group, programs, state, layout);
  } catch (error) {
    await loaded?.close();
    throw error;
  }
}

// biome-ignore lint/complexity/noExcessiveLinesPerFunction: it wires one execution; each part uses most of the same values
async function train(options: ExecutionOptions & Past, watch: Stopwatch, dataset: RunDataset, set: ProgramSet): Promise<TrainingReport> {
  const { run, job, slice, clock, signal, rows, earlier, goodput } = options;
  const { steps, batch, seq, eval: evaluation } = job.train;
  const { model } = job;
  const { unigramNats } = dataset.manifest;
  run.enter("placing");

  const evaluations: StepEvaluation[] = rows.flatMap(evaluationOf);
  const heldout = new HeldoutEvaluations<RunPrograms>({
    steps,
    every: evaluation?.every,
    reported: evaluations.map(({ step }) => step),
    evaluate: (programs) =>
      watch.time("evaluate", () => {
        const wanted = Math.min(evaluation?.batches ?? finalBatches, dataset.heldoutBatches(batch, seq));
        return raceAbort(programs.evaluate(wanted), signal);
      }),
    report: (step, { loss, tokens, more, samples = [] }) => {
      const metrics = more === undefined ? {} : { metrics: { ...more } };
      run.metrics({ kind: "eval", time: clock.now(), step, heldout_loss: loss, unigram_loss: unigramNats, tokens, ...metrics });
      for (const completions of samples) run.record({ type: "completions_sampled", step, split: "heldout", completions: [...completions] });
      evaluations.push({ step, metrics: more ?? {} });
      warnOfKind(run, recipeOf(job).warningsOf?.(evaluations) ?? []);
    },
  });

  const constant = staticFiles(checkpointForm(job), dataset.tokenizerFiles, dataset.manifest.control);
  const checkpointed = (files: CheckpointFiles, step: number, ledger: string, groupSize: number): CheckpointContent => {
    const about = { run: run.id, step, time: clock.now(), mesh: printMesh(meshOf(job)), zero: job.zero };
    const made = { workers: groupSize, program: stepHash(job, set), ledger };
    const digest = dataset instanceof MixtureDataset ? dataset.digest(step) : undefined;
    const known = heldout.of(step);
    if (known === undefined) return checkpointOf(files, constant, { ...about, ...made }, undefined, digest);
    return checkpointOf(files, constant, { ...about, ...made, heldout_loss: known.loss }, known.more, digest);
  };

  let sample = { prompt: "", text: "" };
  let workers = 0;
  const events = eventSink(run, goodput, (of) => `batch ${of} of the training data (seed ${job.seed}, rows 0 to ${job.train.batch - 1})`);
  const workerCount = new WorkerCountPolicy(options.workers);
  const trained = await trainWithRecovery<Attempt>({
    ...recoveryOf(options, workerCount, goodput),
    open: (epoch) => openAttempt({ options, watch, dataset, set, workerCount, checkpointed }, epoch),
    steps,
    isSequential: recipeOf(job).isSequential === true || set.hasController === true,
    tokensPerStep: batch * seq,
    between: ({ programs }, step, fence) => heldout.after(programs, step, fence),
    finish: async ({ programs, group }, fence) => {
      workers = group.size;
      await heldout.atEnd(programs, fence);
      sample = await watch.time("sample", () => writeSample(options, programs, dataset));
    },
    guard: job.train.guard,
    events,
  });
  recordTimes(run, watch, trained.train_ms, goodput, earlier);

  const { facts } = set;
  const evaluated = ensure(heldout.of(steps), "evaluation at the end");
  return {
    id: run.id,
    model: model.name,
    parameters: facts.parameters,
    chips: job.chips,
    workers,
    mesh: printMesh(meshOf(job)),
    slice,
    zero: job.zero,
    steps,
    tokens: trained.tokens,
    train_loss: trained.loss,
    heldout_loss: evaluated.loss,
    ...heldoutLossesOf(evaluated.more),
    unigram_loss: unigramNats,
    sample,
    checkpoint: trained.checkpoint.path,
    bytes_per_chip: facts.bytes_per_chip,
    collectives: [...facts.collectives],
    timings_ms: watch.times(),
    tokens_per_s: (batch * seq * steps * 1000) / Math.max(1, trained.train_ms),
    warnings: run.summary.warnings ?? [],
  };
}

const evaluationOf = (row: MetricsRow): StepEvaluation[] => (row.kind === "eval" ? [{ step: row.step, metrics: row.metrics ?? {} }] : []);

/** Records the events of training in the files of the run, and updates its state and goodput. */
export function eventSink(run: Run, goodput: Goodput, batchName: TrainEvents["batchName"]): TrainEvents {
  return {
    emit(event) {
      if (event.type === "state_restored") {
        run.enter("running", event.rewinds && event.step < run.summary.step ? { fromStep: event.step } : {});
        run.goodput(goodput.report(), true);
      }
      if (event.type === "attempt_failed" && event.recoverable) {
        run.enter("running", { activity: { what: "recover" } });
        run.goodput(goodput.report(), true);
      }
      run.record(event);
    },
    row(row) {
      // The step was repeated after a failure: its row exists.
      if (row.step <= run.summary.step) return;
      run.metrics(row);
      run.goodput(goodput.report());
    },
    reported: () => run.summary.step,
    sync: () => run.sync(),
    batchName,
  };
}

/** Held-out batches of the final evaluation, if the job does not set them. */
const finalBatches = 8;

async function writeSample(
  { run, job, signal }: ExecutionOptions,
  programs: RunPrograms,
  dataset: RunDataset,
): Promise<{ prompt: string; text: string }> {
  if (job.sample === undefined) return { prompt: "", text: "" };
  const { prompt, tokens, ...sampling } = job.sample;
  run.enter("running", { activity: { what: "write a sample" } });
  const nextToken = await programs.nextToken();
  // A tuned model continues a turn of a dialogue, not a text.
  const start = trainsOnExamples(job) ? promptOfUser(prompt, chatTokenizer(dataset.tokenizer)) : prompt;
  const sample = await generateSample(nextToken, dataset.tokenizer, { prompt: start, tokens, sampling, seed: job.seed, signal });
  const warning = cutPromptWarning(sample, nextToken.context, "sample.prompt");
  if (warning !== undefined) run.record({ type: "warning_found", ...warning });
  return { prompt, text: sample.text };
}
