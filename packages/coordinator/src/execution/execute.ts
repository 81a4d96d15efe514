import { join } from "node:path";
import { corpusSpec, type Dataset, prepareDataset } from "@lapidary/data";
import { type Clock, type LapidaryError, must } from "@lapidary/std";
import { printTorus } from "@lapidary/topology";
import { meshOf, type ResolvedJob } from "@lapidary/training";
import type { Report, SlicePlace } from "../api.js";
import type { Gang, GangOptions } from "../gang/index.js";
import { programRequest, type ProgramSet } from "../programs/build.js";
import { programsFor } from "../programs/programs.js";
import { type Run, runFiles } from "../runs/run.js";
import { viewMachine } from "../views/machine.js";
import { writeProgramView } from "../views/program-file.js";
import { WorkerStepLog, workerStepOf } from "../views/worker-steps.js";
import { both, orAbort } from "./abort.js";
import { loadWeights, writeCheckpoint } from "./checkpoints.js";
import { generateSample } from "./generate-sample.js";
import { RunPrograms } from "./run-programs.js";
import { sparingly } from "./sparingly.js";
import { Stopwatch } from "./stopwatch.js";
import { trainingLoop } from "./training-loop.js";

export interface ExecutionOptions {
  readonly run: Run;
  readonly job: ResolvedJob;
  readonly slice: SlicePlace;
  /** How many worker processes at most. */
  readonly workers: number;
  /** The project's root: it has the default corpus. */
  readonly root: string;
  /** Where datasets and programs are kept between runs. */
  readonly cacheDir: string;
  readonly startGang: (options: Omit<GangOptions, "runId" | "epoch">) => Promise<Gang>;
  readonly clock: Clock;
  /** Ends the run at whatever stage it is. */
  readonly signal: AbortSignal;
}

/**
 * A job from its file to its report:
 *
 *     corpus ──► dataset ─┐
 *     job ──► programs ───┴──► gang ──► first state ──► steps … evaluation, checkpoint … ──► sample ──► report
 *
 * What it tells on the way goes into the run's files. It keeps no tensor but those it writes into a checkpoint. When it settles, whether
 * by success, failure or the signal, the workers are free again.
 *
 * @throws LapidaryError whatever is wrong with the job, its data, its fit or its workers; the signal's reason
 */
export async function execute(options: ExecutionOptions): Promise<Report> {
  const { run, job, signal, clock } = options;
  const watch = new Stopwatch(clock);
  run.enter("compiling", { slice: options.slice });
  const [dataset, programSet] = await both(
    signal,
    (either) => watch.time("prepare", () => prepare(options, either)),
    (either) => watch.time("compile", () => compile(options, either)),
  );
  try {
    run.enter("placing");
    const gang = await watch.time("place", () => place(options));
    const training = train(options, watch, dataset, programSet, gang);
    try {
      return await orAbort(Promise.race([training, failureOf(gang)]), signal);
    } finally {
      await release(gang, run);
      // Without its gang it ends soon, however it was left.
      await training.catch(() => undefined);
    }
  } finally {
    dataset.close();
    run.log(
      "coordinator",
      `workers are free after ${Math.round(watch.total_ms)} ms; ${job.slice} chips at ${options.slice.origin.join(",")}`,
    );
  }
}

async function prepare({ run, job, root, cacheDir, clock }: ExecutionOptions, signal: AbortSignal): Promise<Dataset> {
  const { corpus, vocab, held_out, text_field, max_bytes } = job.data;
  const enter = sparingly(clock, (activity) => {
    if (!signal.aborted) run.enter("compiling", { activity });
  });
  const dataset = await prepareDataset({
    corpus: corpusSpec(corpus, { projectRoot: root, textField: text_field, ...(max_bytes === undefined ? {} : { maxBytes: max_bytes }) }),
    vocabSize: vocab,
    heldOutFraction: held_out,
    cacheDir: join(cacheDir, "datasets"),
    signal,
    onProgress: ({ stage, done, total }) => enter({ what: stage, done, total }),
  });
  try {
    dataset.requireBatch(job.train);
  } catch (error) {
    dataset.close();
    throw error;
  }
  const { splits, unigramNats, corpus: place } = dataset.manifest;
  run.log(
    "coordinator",
    `data: ${place}: ${splits.train.documents} documents, ${splits.train.tokens} tokens to train on; ${splits.heldout.tokens} held out, unigram loss ${unigramNats.toFixed(3)}`,
  );
  return dataset;
}

async function compile({ run, job, root, cacheDir }: ExecutionOptions, signal: AbortSignal): Promise<ProgramSet> {
  const set = await programsFor({ ...programRequest(job), machine: viewMachine(job, root) }, {
    cacheDir: join(cacheDir, "programs"),
    signal,
    onProgress: (done, total) => {
      if (!signal.aborted) run.enter("compiling", { activity: { what: "compile", done, total } });
    },
  });
  if (set.view !== undefined) writeProgramView(run.directory, set.view);
  run.log(
    "coordinator",
    `program ${set.programs.train_step.hash.slice(0, 12)}: ${set.facts.parameters} parameters, ${set.facts.collectives.reduce((n, { count }) => n + count, 0)} collectives a step`,
  );
  return set;
}

async function place({ run, job, slice, workers, startGang, signal }: ExecutionOptions): Promise<Gang> {
  const starting = startGang({ mesh: meshOf(job), workers, numerics: job.numerics, executor: job.executor });
  let gang: Gang;
  try {
    gang = await orAbort(starting, signal);
  } catch (error) {
    // Nobody waits for it any more: it goes as soon as it has come.
    starting.then(
      (late) => release(late, run),
      () => undefined,
    );
    throw error;
  }
  run.enter("placing", { activity: { what: "load programs" }, workers: gang.pids.map((pid, worker) => ({ worker, pid })) });
  run.log(
    "coordinator",
    `slice ${printTorus(slice)} at ${slice.origin.join(",")} of pod ${slice.pod}; ${gang.size} workers: ${gang.pids.join(", ")}`,
  );
  return gang;
}

async function failureOf(gang: Gang): Promise<never> {
  throw (await gang.failed) satisfies LapidaryError;
}

/** Gives the workers back; those that are lost need no goodbye. */
async function release(gang: Gang, run: Run): Promise<void> {
  try {
    await gang.close();
  } catch (error) {
    run.log("coordinator", `a worker did not part in good order: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function train(options: ExecutionOptions, watch: Stopwatch, dataset: Dataset, set: ProgramSet, gang: Gang): Promise<Report> {
  const { run, job, slice, clock, signal } = options;
  const { steps, batch, seq, eval: evaluation, init } = job.train;
  const { model } = job;
  const { unigramNats } = dataset.manifest;
  const workerSteps = new WorkerStepLog(run.directory);
  const programs = await watch.time("load", async () => {
    const source = { directory: dataset.directory, seed: job.seed, batch, seq };
    const loaded = await RunPrograms.load(gang, set, source, (report) => workerSteps.append(workerStepOf(report)));
    await loaded.initialize();
    if (init !== undefined) await loadWeights(init, model.config, (name, array) => loaded.putWeight(name, array));
    return loaded;
  });
  run.enter("running");

  let heldout: { readonly step: number; readonly loss: number } | undefined;
  const evaluate = (step: number, batches: number): Promise<void> =>
    watch.time("evaluate", async () => {
      const wanted = Math.min(batches, dataset.heldoutBatches(batch, seq));
      const { loss, tokens } = await orAbort(programs.evaluate(wanted), signal);
      heldout = { step, loss };
      run.metrics({ kind: "eval", time: clock.now(), step, heldout_loss: loss, unigram_loss: unigramNats, tokens });
    });
  let checkpoint = "";
  const save = (step: number): Promise<void> =>
    watch.time("checkpoint", async () => {
      const known = heldout?.step === step ? { heldout_loss: heldout.loss } : {};
      checkpoint = await writeCheckpoint({
        directory: join(run.directory, runFiles.checkpoints),
        programs,
        config: model.config,
        tokenizer: dataset.tokenizer,
        state: { run: run.id, step, time: clock.now(), ...known },
        keep: job.checkpoint.keep,
      });
      run.log("coordinator", `checkpoint of step ${step}: ${checkpoint}`);
    });

  const due = (step: number, every: number | undefined): boolean => step === steps || (every !== undefined && step % every === 0);
  const trained = await trainingLoop({
    programs,
    steps,
    tokensPerStep: batch * seq,
    signal,
    clock,
    onRow: (row) => run.metrics(row),
    between: (step) => {
      const [evaluates, saves] = [due(step, evaluation?.every), due(step, job.checkpoint.every)];
      if (!evaluates && !saves) return undefined;
      return async () => {
        if (evaluates) await evaluate(step, evaluation?.batches ?? finalBatches);
        if (saves) await save(step);
      };
    },
  });
  watch.add("train", trained.train_ms);

  const sample = await watch.time("sample", () => writeSample(options, programs, dataset));
  const { facts } = set;
  return {
    id: run.id,
    model: model.name,
    parameters: facts.parameters,
    chips: job.chips,
    workers: gang.size,
    mesh: run.identity.mesh,
    slice,
    zero: job.zero,
    steps,
    tokens: trained.tokens,
    train_loss: trained.loss,
    heldout_loss: must(heldout, "evaluation at the end").loss,
    unigram_loss: unigramNats,
    sample,
    checkpoint,
    bytes_per_chip: facts.bytes_per_chip,
    collectives: [...facts.collectives],
    timings_ms: watch.times(),
    tokens_per_s: (batch * seq * steps * 1000) / Math.max(1, trained.train_ms),
  };
}

/** Held-out batches of the evaluation at the end, where the job does not say. */
const finalBatches = 8;

async function writeSample(
  { run, job, signal }: ExecutionOptions,
  programs: RunPrograms,
  dataset: Dataset,
): Promise<{ prompt: string; text: string }> {
  if (job.sample === undefined) return { prompt: "", text: "" };
  const { prompt, tokens, ...sampling } = job.sample;
  run.enter("running", { activity: { what: "write a sample" } });
  const text = await generateSample(programs.nextToken, dataset.tokenizer, { prompt, tokens, sampling, seed: job.seed, signal });
  return { prompt, text };
}
