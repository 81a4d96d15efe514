import { join } from "node:path";
import { type Dataset, type DatasetRequest, findPrepared, prepareDataset, leftOutText, leftOutWarning } from "@lapidary/data";
import { epochOf } from "@lapidary/protocol";
import { type Clock, type Failpoints, LapidaryError, must, type Warning } from "@lapidary/std";
import { printMesh, printTorus } from "@lapidary/topology";
import { checkInputs, checkTokenizerSize, corpusOf, givenTokenizer, meshOf, type ResolvedJob, tokenizerRequest } from "@lapidary/training";
import type { GoodputReport, MetricsRow, Report, SlicePlace } from "../api.js";
import type { CheckpointContent } from "../checkpoints/checkpoint-store.js";
import { nodeDisk } from "../checkpoints/disk.js";
import { nativeDisk } from "../checkpoints/native-disk.js";
import { RunFence } from "../checkpoints/run-fence.js";
import type { Gang, GangOptions } from "../gang/index.js";
import { programRequest, type ProgramSet } from "../programs/build.js";
import { programsFor } from "../programs/programs.js";
import { readMetrics } from "../runs/journal.js";
import { type Run, runFiles } from "../runs/run.js";
import { viewMachine } from "../views/machine.js";
import { writeProgramView } from "../views/program-file.js";
import { isTraced, StepTraceLog } from "../views/step-traces.js";
import { WorkerStepLog, workerStepOf } from "../views/worker-steps.js";
import { both, orAbort } from "./abort.js";
import { listCheckpoints, loadWeights } from "./checkpoints.js";
import { Crew } from "./crew.js";
import { cutPromptWarning, generateSample } from "./generate-sample.js";
import { Goodput, goodputUntil } from "./goodput.js";
import { RunPrograms } from "./run-programs.js";
import { isSameTokenizer, runTokenizer } from "./run-tokenizer.js";
import { type CheckpointFiles, checkpointOf, constantFiles, loadState } from "./save-state.js";
import { Snapshots } from "./snapshots.js";
import { sparingly } from "./sparingly.js";
import { Stopwatch } from "./stopwatch.js";
import { Stragglers } from "./stragglers.js";
import { type TrainNews, type TrainingAttempt, trainThroughFaults } from "./train-through-faults.js";

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
  readonly startGang: (options: Omit<GangOptions, "runId">) => Promise<Gang>;
  /** Whether so many workers more could be started. */
  readonly hasWorkers: (count: number) => Promise<boolean>;
  readonly clock: Clock;
  /** Ends the run at whatever stage it is. */
  readonly signal: AbortSignal;
  /** Ends training behind the steps under way, with a checkpoint. */
  readonly halt: AbortSignal;
  readonly failpoints: Failpoints;
}

/**
 * A job from its file to its report:
 *
 *     corpus ──► dataset ─┐             ┌────────────────────── a failure ──────────────────────┐
 *     job ──► programs ───┴──► gang ◄───┘ ──► first or last state ──► steps … evaluation, checkpoint … ──► sample ──► report
 *
 * What it tells on the way goes into the run's files. It keeps no tensor but those it writes into a checkpoint. When it settles, whether
 * by success, failure or the signal, the workers are free again.
 *
 * @throws LapidaryError whatever is wrong with the job, its data, its fit or its workers; the signal's reason
 */
export async function execute(options: ExecutionOptions): Promise<Report> {
  const { run, job, signal, clock } = options;
  const watch = new Stopwatch(clock);
  const { goodput: saved, started_at } = run.summary;
  const { rows } = await readMetrics(run.directory, 0, Number.MAX_SAFE_INTEGER);
  const earlier = goodputUntil(clock.now(), saved, started_at ?? clock.now(), rows);
  const goodput = new Goodput(clock, earlier);
  run.enter("compiling", { slice: options.slice });
  // Files may have changed while the job waited. A run that has a checkpoint does not read `train.init` again.
  const readsInit = (await listCheckpoints(join(run.directory, runFiles.checkpoints))).length === 0;
  await checkInputs(job, { projectRoot: options.root, readsInit, readsTokenizer: false });
  const [dataset, programSet] = await both(
    signal,
    (either) => watch.time("prepare", () => prepare(options, either)),
    (either) => watch.time("compile", () => compile(options, either)),
  );
  try {
    return await train({ ...options, rows, earlier, goodput }, watch, dataset, programSet);
  } finally {
    dataset.close();
    run.log(
      "coordinator",
      `workers are free after ${Math.round(watch.total_ms)} ms; ${job.slice} chips at ${options.slice.origin.join(",")}`,
    );
  }
}

/** What the run's files tell of its time under earlier coordinators, and where all its time goes. */
interface Past {
  readonly rows: readonly MetricsRow[];
  readonly earlier: GoodputReport;
  readonly goodput: Goodput;
}

async function prepare({ run, job, root, cacheDir, clock }: ExecutionOptions, signal: AbortSignal): Promise<Dataset> {
  const own = runTokenizer(run);
  const enter = sparingly(clock, (activity) => {
    if (!signal.aborted) run.enter("compiling", { activity });
  });
  const request = {
    corpus: corpusOf(job, root),
    tokenizer: tokenizerRequest(job),
    heldOutFraction: job.data.held_out,
    cacheDir: join(cacheDir, "datasets"),
  };
  const dataset =
    (own === undefined ? undefined : preparedWith(own, request)) ??
    (await prepareDataset({
      ...request,
      ...(own === undefined ? {} : { tokenizer: { kind: "given", path: own } }),
      signal,
      onProgress: ({ stage, done, total }) => enter({ what: stage, done, total }),
    }));
  try {
    if (own === undefined) checkTokenizerSize(job, dataset.manifest.vocabSize);
    dataset.requireBatch(job.train);
  } catch (error) {
    dataset.close();
    throw error;
  }
  const { splits, unigramNats, corpus: place, leftOut } = dataset.manifest;
  const leftOutOf = leftOutText(leftOut);
  if (leftOutOf !== "") run.log("coordinator", `data: left out of ${place}: ${leftOutOf}`);
  warnOnce(run, leftOutWarning(request.corpus, leftOut));
  run.log("coordinator", `tokenizer: ${dataset.manifest.vocabSize} ids, ${tokenizerOrigin(job, own)}`);
  run.log(
    "coordinator",
    `data: ${place}: ${splits.train.documents} documents, ${splits.train.tokens} tokens to train on; ${splits.heldout.tokens} held out, unigram loss ${unigramNats.toFixed(3)}`,
  );
  return dataset;
}

/** The dataset that was prepared before with a tokenizer trained on the corpus, if that is still the tokenizer of the run. */
function preparedWith(own: string, request: DatasetRequest & { readonly cacheDir: string }): Dataset | undefined {
  if (request.tokenizer.kind === "given") return undefined;
  const prepared = findPrepared(request);
  if (prepared === undefined || isSameTokenizer(own, prepared.manifest.tokenizerHash)) return prepared;
  prepared.close();
  return undefined;
}

function tokenizerOrigin({ data, train }: ResolvedJob, own: string | undefined): string {
  if (own !== undefined) return "that of the run";
  const path = givenTokenizer(data, train);
  if (path !== undefined) return `of ${path}`;
  return `trained on the corpus${train.init === undefined ? "" : ": its ids mean nothing to the weights of train.init"}`;
}

/** A run that is taken up again prepares its data again, and finds the same. */
function warnOnce(run: Run, warning: Warning | undefined): void {
  if (
    warning === undefined ||
    run.summary.warnings?.some(({ code, message }) => code === warning.code && message === warning.message) === true
  )
    return;
  run.warn([warning]);
}

async function compile({ run, job, root, cacheDir }: ExecutionOptions, signal: AbortSignal): Promise<ProgramSet> {
  const set = await programsFor(
    { ...programRequest(job), machine: viewMachine(job, root) },
    {
      cacheDir: join(cacheDir, "programs"),
      signal,
      onProgress: (done, total) => {
        if (!signal.aborted) run.enter("compiling", { activity: { what: "compile", done, total } });
      },
    },
  );
  if (set.view !== undefined) writeProgramView(run.directory, set.view);
  run.log(
    "coordinator",
    `program ${set.programs.train_step.hash.slice(0, 12)}: ${set.facts.parameters} parameters, ${set.facts.collectives.reduce((n, { count }) => n + count, 0)} collectives a step`,
  );
  return set;
}

/** A gang, and the run's programs and state on it. */
class Attempt implements TrainingAttempt {
  readonly failed: Promise<LapidaryError>;
  readonly #run: Run;

  constructor(
    run: Run,
    readonly gang: Gang,
    readonly programs: RunPrograms,
    readonly state: TrainingAttempt["state"],
    readonly layout: string,
  ) {
    this.failed = gang.failed;
    this.#run = run;
  }

  /** Gives the workers back; those that are lost need no goodbye. */
  async close(keepCopies: boolean): Promise<void> {
    await release(this.gang, this.#run, keepCopies);
  }
}

async function release(gang: Gang, run: Run, keepCopies: boolean): Promise<void> {
  try {
    await gang.close({ keepCopies });
  } catch (error) {
    run.log("coordinator", `a worker did not part in good order: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Starts the workers that there are: when some cannot be started again and again, the next attempt does with fewer. */
async function startCrew(
  run: Run,
  crew: Crew,
  startGang: ExecutionOptions["startGang"],
  options: Omit<GangOptions, "runId" | "workers">,
): Promise<Gang> {
  try {
    const gang = await startGang({ ...options, workers: crew.size });
    crew.started();
    return gang;
  } catch (error) {
    if (error instanceof LapidaryError && error.code === "LAP_WORKER_START" && crew.refused())
      run.log(
        "coordinator",
        `a worker cannot be replaced: the others take its block over, ${crew.size} of ${crew.wanted} workers go on, more slowly`,
      );
    throw error;
  }
}

async function openAttempt(
  options: ExecutionOptions,
  watch: Stopwatch,
  dataset: Dataset,
  set: ProgramSet,
  epoch: number,
  crew: Crew,
  checkpointed: (files: CheckpointFiles, step: number, ledger: string, workers: number) => CheckpointContent,
): Promise<Attempt> {
  const { run, job, slice, startGang } = options;
  const gang = await watch.time("place", () =>
    startCrew(run, crew, startGang, {
      mesh: meshOf(job),
      numerics: job.numerics,
      executor: job.executor,
      epoch: epochOf(epoch),
      stallAfterMs: job.stall_after * 1000,
    }),
  );
  try {
    run.enter(run.state === "running" ? "running" : "placing", {
      activity: { what: "load programs" },
      workers: gang.pids.map((pid, worker) => ({ worker, pid })),
    });
    run.log(
      "coordinator",
      `slice ${printTorus(slice)} at ${slice.origin.join(",")} of pod ${slice.pod}; ${gang.size} workers: ${gang.pids.join(", ")}`,
    );
    const { batch, seq, init } = job.train;
    const workerSteps = new WorkerStepLog(run.directory);
    const source = { directory: dataset.directory, seed: job.seed, batch, seq };
    const stragglers = new Stragglers();
    let traces: StepTraceLog | undefined;
    const programs = await watch.time("load", () =>
      RunPrograms.load(gang, set, source, (report) => {
        workerSteps.append(workerStepOf(report));
        traces?.append(report);
        for (const { worker, times } of stragglers.step(report))
          run.log(
            "coordinator",
            `worker ${worker} is a straggler: it computes ${times.toFixed(1)} times as long as the others; the job goes on`,
          );
      }),
    );
    if (job.trace_every > 0) traces = new StepTraceLog(run.directory, await programs.describe());
    const snapshots = await Snapshots.open(programs, job.model.config, (bytes) => nativeDisk?.share(bytes));
    const state: TrainingAttempt["state"] = {
      train: (step, of) => programs.train(step, of, traces !== undefined && isTraced(step + 1, job.trace_every, job.train.steps)),
      copy: (step, committed) => programs.copy(step, committed),
      restoreCopies: (latest) => programs.restoreCopies(latest),
      load: (checkpoint) => watch.time("load", () => loadState(programs, checkpoint)),
      initialize: () =>
        watch.time("load", async () => {
          await programs.initialize();
          if (init === undefined) return;
          const warnings = await loadWeights(init, job.model.config, (name, array) => programs.putWeight(name, array));
          for (const { code, message } of warnings) run.log("coordinator", `train.init: ${code}: ${message}`);
          run.log("coordinator", `train.init: weights of ${init}; the optimizer and the count of steps begin anew`);
        }),
      take: async (step) => {
        const { files, release } = await snapshots.take();
        return { content: (ledger) => checkpointed(files, step, ledger, gang.size), release };
      },
    };
    const layout = [set.programs.train_step.hash, printMesh(meshOf(job)), gang.size, job.executor, job.numerics].join("/");
    return new Attempt(run, gang, programs, state, layout);
  } catch (error) {
    await release(gang, run, true);
    throw error;
  }
}

async function train(options: ExecutionOptions & Past, watch: Stopwatch, dataset: Dataset, set: ProgramSet): Promise<Report> {
  const { run, job, slice, clock, signal, rows, earlier, goodput } = options;
  const { steps, batch, seq, eval: evaluation } = job.train;
  const { model } = job;
  const { unigramNats } = dataset.manifest;
  const checkpoints = join(run.directory, runFiles.checkpoints);
  // What an earlier coordinator told already is not told again.
  const evaluated = new Set(rows.flatMap((row) => (row.kind === "eval" ? [row.step] : [])));
  run.enter("placing");

  let heldout: { readonly step: number; readonly loss: number } | undefined;
  const evaluate = (programs: RunPrograms, step: number, batches: number): Promise<void> =>
    watch.time("evaluate", async () => {
      const wanted = Math.min(batches, dataset.heldoutBatches(batch, seq));
      const { loss, tokens } = await orAbort(programs.evaluate(wanted), signal);
      heldout = { step, loss };
      if (evaluated.has(step)) return;
      evaluated.add(step);
      run.metrics({ kind: "eval", time: clock.now(), step, heldout_loss: loss, unigram_loss: unigramNats, tokens });
    });

  const constant = constantFiles(model.config, dataset.tokenizerFiles, dataset.manifest.control);
  const checkpointed = (files: CheckpointFiles, step: number, ledger: string, gangSize: number): CheckpointContent =>
    checkpointOf(files, constant, {
      run: run.id,
      step,
      time: clock.now(),
      mesh: printMesh(meshOf(job)),
      zero: job.zero,
      workers: gangSize,
      program: set.programs.train_step.hash,
      ledger,
      ...(heldout?.step === step ? { heldout_loss: heldout.loss } : {}),
    });

  let lastDurable_ms = clock.monotonic();
  let sample = { prompt: "", text: "" };
  let workers = 0;
  const due = (step: number, every: number | undefined): boolean => every !== undefined && step % every === 0;
  const news = newsOf(options, goodput);
  const crew = new Crew(options.workers);
  const trained = await trainThroughFaults<Attempt>({
    disk: nodeDisk,
    directory: run.directory,
    checkpoints,
    claim: () => RunFence.claim(nodeDisk, run.directory),
    open: (epoch) => openAttempt(options, watch, dataset, set, epoch, crew, checkpointed),
    regroups: {
      wanted: () => crew.missing > 0,
      possible: async () => {
        if (!(await options.hasWorkers(crew.missing))) return false;
        crew.complete();
        run.log("coordinator", `all ${crew.wanted} workers can be started again, and get their blocks back`);
        return true;
      },
    },
    steps,
    tokensPerStep: batch * seq,
    keep: job.checkpoint.keep,
    saves: (step) => {
      const wanted = due(step, job.checkpoint.every) || clock.monotonic() - lastDurable_ms > mostAtRisk_ms;
      if (wanted) lastDurable_ms = clock.monotonic();
      return wanted;
    },
    between: ({ programs }, step) => {
      const isLast = step === steps;
      if (!isLast && (!due(step, evaluation?.every) || evaluated.has(step))) return undefined;
      return () => evaluate(programs, step, evaluation?.batches ?? finalBatches);
    },
    finish: async ({ programs, gang }) => {
      workers = gang.size;
      if (heldout?.step !== steps) await evaluate(programs, steps, evaluation?.batches ?? finalBatches);
      sample = await watch.time("sample", () => writeSample(options, programs, dataset));
    },
    clock,
    signal,
    halt: options.halt,
    failpoints: options.failpoints,
    goodput,
    guard: job.train.guard,
    news,
  });
  watch.add("train", trained.train_ms);
  const report = goodput.report();
  // Of this execution alone, as all that it watches.
  watch.add("checkpoint", report.lost_ms.checkpoint - earlier.lost_ms.checkpoint);
  run.goodput(report);

  const { facts } = set;
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
    heldout_loss: must(heldout, "evaluation at the end").loss,
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

/** What a run's files and log are told of its attempts. */
function newsOf({ run, job }: ExecutionOptions, goodput: Goodput): TrainNews {
  const log = (line: string): void => run.log("coordinator", line);
  return {
    row(row) {
      // Computed again after a failure: the row is there already.
      if (row.step <= run.summary.step) return;
      run.metrics(row);
      run.goodput(goodput.report());
    },
    told: () => run.summary.step,
    began({ attempt, from, rewinds }, source) {
      run.enter("running", rewinds && from < run.summary.step ? { fromStep: from } : {});
      run.goodput(goodput.report(), true);
      if (from > 0 || attempt > 1)
        log(`attempt ${attempt}: training goes on behind step ${from}, from ${source === "start" ? "the beginning" : `the ${source}`}`);
    },
    failed(step, error) {
      run.enter("running", { activity: { what: "recover" } });
      log(`failed before step ${step} was committed: ${error.code}: ${error.message}`);
      run.goodput(goodput.report(), true);
    },
    checkpoint: ({ path, manifest }) => log(`checkpoint of step ${manifest.step}: ${path}`),
    checkpointRefused: (step, error) =>
      log(
        `no checkpoint of step ${step}: ${error.code}: ${error.message} (${error.place ?? ""}); training goes on, earlier checkpoints are whole`,
      ),
    checkpointDamaged: (error) => log(`a checkpoint is refused: ${error.code}: ${error.message} (${error.place ?? ""})`),
    skipped: (step, batch, error) => log(`batch ${batch} is left out at step ${step}: ${error.code}: ${error.message}`),
    sync: () => run.sync(),
    batchName: (of) => `batch ${of} of the training data (seed ${job.seed}, rows 0 to ${job.train.batch - 1})`,
  };
}

/** Where a job does not say how often, no more work than this is at risk if all processes die. */
const mostAtRisk_ms = 60_000;

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
  const nextToken = await programs.nextToken();
  const sample = await generateSample(nextToken, dataset.tokenizer, { prompt, tokens, sampling, seed: job.seed, signal });
  const warning = cutPromptWarning(sample, nextToken.context, "sample.prompt");
  if (warning !== undefined) run.log("coordinator", `warning: ${warning.code}: ${warning.message}`);
  return { prompt, text: sample.text };
}
