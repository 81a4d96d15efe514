import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { type Job, type Store, openRedis, type RedisChoice } from "@lapidary/control";
import {
  type Clock,
  type Failpoints,
  type JsonValue,
  LapidaryError,
  ensure,
  noFailpoints,
  socketPathFor,
  systemClock,
  type Warning,
} from "@lapidary/std";
import { printMesh } from "@lapidary/topology";
import { jobWarnings, type LocatedJob, meshOf, needsInit, type ResolvedJob } from "@lapidary/training";
import { type DataJob, dataJobIn } from "@lapidary/training/job";
import type { z } from "zod";
import type {
  Cancelled,
  CheckpointEntry,
  JobDetail,
  PipelineSubmitted,
  Report,
  Resumed,
  Status,
  Submitted,
  submitPipelineSchema,
  submitRequestSchema,
} from "@lapidary/api";
import type { SlicePlace } from "@lapidary/api/api-values";
import { checkOutput } from "./check-output.js";
import { removeConnection, writeConnection } from "@lapidary/api/connection";
import { asJobError, cancelOf, coordinatorStopped, errorFields, isCancel, notReady, notResumable, runLost } from "./coordinator-errors.js";
import { s3AccessOf } from "@lapidary/data-store";
import { describeDataJob, runDataJob } from "./data-run.js";
import { EventFeed } from "./event-feed.js";
import { compareOnPod } from "@lapidary/comparison";
import { type ExecutionOptions, execute, executeStep, listCheckpoints } from "@lapidary/trainer";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { registryPath } from "@lapidary/api/worker-registry";
import { openHome } from "@lapidary/api/home-directory";
import { lockHome } from "@lapidary/api/home-lock";
import { PageFiles } from "./http/page-files.js";
import { onPreferredPort } from "./http/preferred-port.js";
import { type HttpServer, serveHttp } from "./http/server.js";
import type { Service } from "./http/service.js";
import { parsePlacedJob, describeJob, jobOfRun, prepareResume, sliceOf, submittedStep } from "./jobs.js";
import { checkStepJob, describeStepJob, isStep, type QueuedJob, submitsStep } from "./step-jobs.js";
import { Leadership } from "./leadership.js";
import { endByNeeds, isUnfinishedNeed, unfinishedNeeds } from "./needs.js";
import { cancelPipeline, checkNewPipeline, createPipeline, withNewestCheckpoints } from "./pipelines.js";
import { pipelineDetail } from "./pipeline-detail.js";
import { Pods, workersForSlice } from "./pods.js";
import { eventError } from "@lapidary/api/run-events";
import { type NewRun, PipelineStore, type Run, runFiles, RunStore, homeToken } from "@lapidary/telemetry";
import { silentLog, type Log } from "./log.js";
import { type RunHandlers, RunQueue } from "./run-queue.js";
import { stopSignals } from "./stop-signals.js";
import { WorkerManager } from "./worker-manager.js";

export interface CoordinatorOptions {
  /** Directory of all state, absolute. */
  readonly home: string;
  /** The project: configs, and node_modules as the default corpus. Absolute. */
  readonly root: string;
  /** 0: any free port. */
  readonly port: number;
  /** Host names that the HTTP server answers for in addition to loopback names, in lower case. */
  readonly allowedHosts?: readonly string[];
  readonly redis: RedisChoice;
  /** Worker processes that a job for a whole pod gets. */
  readonly workers: number;
  /** Idle worker processes that replace a worker that ends. Default 1. */
  readonly spares?: number;
  /** Time in seconds for which workers wait for another coordinator of this home when this one is killed. Default 0: they end with it. */
  readonly workerLease_s?: number;
  /** Failpoints of a test. */
  readonly failpoints?: Failpoints;
  /** The environment of worker processes. */
  readonly environment: NodeJS.ProcessEnv;
  readonly version?: string;
  readonly log?: Log;
  readonly clock?: Clock;
}

/** Why a coordinator ends. */
export type StopReason = "requested" | LapidaryError;

/**
 * The single controller of a home directory. It accepts jobs over HTTP and keeps them in a queue in Redis. It gives each job a slice of the pods and
 * a worker group, and records the results.
 *
 *     HTTP ──► run store (files) ──► queue (Redis) ──place──► slice ──run──► execute ──► run store
 *
 * Invariants
 * - it has no tensors and computes nothing: other threads and processes prepare data, compile and run kernels;
 * - all answers of the API about a run come from the files of the run;
 * - it stops everything it started in reverse order, and nothing remains.
 */
export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  #token = "";
  readonly #pods = new Pods();
  /** Jobs of runs that have no slice yet. Each is tried again when chips become free. */
  readonly #waiting = new Map<string, QueuedJob>();
  /** Runs that have a slice, and the controller that stops each of them. */
  readonly #running = new Map<string, AbortController>();
  /** The run of a data pipeline. */
  #dataRun: string | undefined;
  readonly #stack: { readonly what: string; readonly stop: () => Promise<void> | void }[] = [];
  readonly #startedAt: number;
  /** Settles when the coordinator should end. The caller then calls `stop`. */
  readonly stopRequested: Promise<StopReason>;
  #requestStop: (reason: StopReason) => void = () => undefined;
  #stopping: Promise<void> | undefined;
  #store: Store | undefined;
  #runs: RunStore | undefined;
  #pipelines: PipelineStore | undefined;
  #queue: RunQueue | undefined;
  #feed: EventFeed | undefined;
  #workerManager: WorkerManager | undefined;
  #http: HttpServer | undefined;

  private constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLog;
    this.#startedAt = this.#clock.now();
    this.stopRequested = new Promise((resolve) => {
      this.#requestStop = resolve;
    });
  }

  /**
   * Starts everything. After an error nothing remains.
   *
   * @throws LAP_ALREADY_UP, LAP_PORT_TAKEN, LAP_REDIS_…
   */
  static async start(options: CoordinatorOptions): Promise<Coordinator> {
    const coordinator = new Coordinator(options);
    try {
      await coordinator.#start();
      return coordinator;
    } catch (error) {
      await coordinator.stop();
      throw error;
    }
  }

  get home(): string {
    return this.#options.home;
  }

  get port(): number {
    return ensure(this.#http, "HTTP server").port;
  }

  get token(): string {
    return this.#token;
  }

  /**
   * Ends everything. Running jobs are cancelled with the reason "coordinator stopped", and waiting jobs stay in the queue. Resolves when no
   * process is left.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Opens the runs of the state directory, and takes over those that an earlier coordinator did not end. */
  async #openRuns(home: string): Promise<RunStore> {
    const runs = await RunStore.open(join(home, "runs"), this.#clock, (directory, error) =>
      this.#log.warn("a run cannot be read and is skipped", { directory, ...errorFields(error) }),
    );
    this.#runs = runs;
    this.#onStop("runs", () => runs.close());
    this.#pipelines = PipelineStore.open(join(home, "pipelines"), runs, (path, error) =>
      this.#log.warn("a pipeline cannot be read and is skipped", { path, ...errorFields(error) }),
    );
    takeOverRuns(runs);
    return runs;
  }

  async #start(): Promise<void> {
    const { home, root, port, allowedHosts = [], redis, workers, environment, spares = 1, workerLease_s = 0 } = this.#options;
    const onError = (error: Error): void => this.#log.warn(error.message, errorFields(error));
    for (const { message, code, place } of openHome(home)) this.#log.warn(message, { code, place });
    this.#onStop("home", await lockHome(home));
    this.#token = homeToken(home);

    const { store, close } = await openRedis(redis, home, {
      restarted: () => {
        this.#log.warn("the private Redis server ended and was restarted");
        void this.#queue
          ?.refill()
          .catch((error: unknown) => this.#log.error("waiting jobs could not be added to the queue again", errorFields(error)));
      },
      onError,
    });
    this.#store = store;
    this.#onStop("redis", close);
    const leadership = await Leadership.take({
      store,
      home,
      clock: this.#clock,
      onError,
      onSuperseded: (error) => this.#requestStop(error),
    });
    this.#onStop("leadership", () => leadership.release());
    this.#log.info("leading", { epoch: leadership.epoch, redis: store.displayAddress });

    const runs = await this.#openRuns(home);
    const feed = new EventFeed(store, onError);
    this.#feed = feed;
    this.#onStop("feed", () => feed.close());

    const http = await onPreferredPort(home, port, (chosen) =>
      serveHttp({
        port: chosen,
        token: this.#token,
        allowedHosts,
        service: this.#service(runs),
        page: new PageFiles(join(root, "packages/dashboard/page/dist")),
        root,
        home,
        s3: s3AccessOf(environment),
        onBug: (error) => this.#log.error("internal error", errorFields(error)),
      }),
    );
    this.#http = http;
    this.#onStop("http", () => http.close());

    const workerManager = await WorkerManager.start({
      workers,
      spares,
      environment,
      log: this.#log,
      directory: socketDirectory(home),
      failover: {
        registry: registryPath(home),
        lease_s: workerLease_s,
        isActive: (id) => {
          const run = runs.find(id);
          return run !== undefined && run.summary.finished_at === undefined;
        },
        onError,
      },
    });
    this.#workerManager = workerManager;
    this.#onStop("workers", () => workerManager.close());

    const queue = new RunQueue(store, { runs, log: this.#log, onError, end: (run, state, error) => this.#finish(run, state, error) });
    this.#queue = queue;
    this.#onStop("queue", () => queue.close());
    // Redis may have lost runs that are queued on disk.
    await queue.refill();
    queue.start(this.#handlers());

    writeConnection(home, { pid: process.pid, port: http.port, token: this.#token, version: this.#version, started_at: this.#startedAt });
    this.#onStop("connection", () => removeConnection(home, process.pid));
    this.#log.info("ready", { port: http.port, workers, pid: process.pid });
  }

  async #stop(): Promise<void> {
    for (let next = this.#stack.pop(); next !== undefined; next = this.#stack.pop()) {
      try {
        await next.stop();
      } catch (error) {
        this.#log.error(`${next.what} failed to stop`, errorFields(error));
      }
    }
    this.#log.info("stopped");
  }

  #onStop(what: string, stop: () => Promise<void> | void): void {
    this.#stack.push({ what, stop });
  }

  get #version(): string {
    return this.#options.version ?? "0.0.0";
  }

  // ---- jobs ----

  #handlers(): RunHandlers<Placed> {
    return { place: (job) => this.#place(job), run: (_, placed, signal) => this.#run(placed, signal) };
  }

  /** Returns a slice for the job, or undefined if too few chips are free. Throws if the job can never run. */
  #place({ id: queueId, payload }: Job): Placed | undefined {
    const id = (payload as { readonly run: string }).run;
    const run = ensure(this.#runs, "runs").find(id);
    if (run === undefined) throw runLost(id);
    // The queue delivers the job again: the run ended and the queue does not know it, or the run has another queue id now.
    if (run.summary.finished_at !== undefined || queueId !== run.queueId) return { run };
    if (unfinishedNeeds(run, ensure(this.#runs, "runs")).length > 0) return undefined;
    try {
      // The files of a need may be missing.
      const end = endByNeeds(run, ensure(this.#runs, "runs"));
      if (end !== undefined) throw end.error;
      const dataJob = dataJobIn(run.identity.job);
      if (dataJob !== undefined) return this.#placeData(run, dataJob);
      const job = this.#waiting.get(id) ?? jobOfRun(run, this.#options.root);
      this.#waiting.set(id, job);
      const slice = this.#pods.place(id, sliceOf(job));
      if (slice === undefined) return undefined;
      this.#waiting.delete(id);
      return { run, job, slice };
    } catch (error) {
      const failure = asJobError(run, error);
      this.#finish(run, "failed", failure);
      throw failure;
    }
  }

  /** A data job needs no chips. Each uses all cores, so one runs at a time. */
  #placeData(run: Run, dataJob: DataJob): Placed | undefined {
    if (this.#dataRun !== undefined) return undefined;
    this.#dataRun = run.id;
    return { run, dataJob };
  }

  async #run(placed: Placed, signal: AbortSignal): Promise<JsonValue> {
    if (!("job" in placed) && !("dataJob" in placed)) return null;
    const { run } = placed;
    const own = new AbortController();
    this.#running.set(run.id, own);
    const unlisten = run.listen((event) => this.#feed?.publish(run.id, event));
    const { abort, drain, clear } = stopSignals(own.signal, signal, {
      trains: () => run.state === "running",
      onDrain: () => run.record({ type: "drain_requested" }),
    });
    const either = AbortSignal.any([signal, own.signal]);
    this.#log.info("job starts", { job: run.id, ...("slice" in placed ? { slice: placed.slice } : {}) });
    try {
      run.writeReport(
        "dataJob" in placed
          ? await runDataJob({
              run,
              job: placed.dataJob,
              home: this.home,
              s3: s3AccessOf(this.#options.environment),
              clock: this.#clock,
              signal: either,
            })
          : await this.#execute(placed, { abort, drain }),
      );
      this.#finish(run, "done");
      return null;
    } catch (error) {
      const failure = asJobError(run, error);
      if (!either.aborted) this.#finish(run, "failed", failure);
      else if (isCancel(either.reason)) this.#finish(run, "cancelled");
      else this.#finish(run, "cancelled", coordinatorStopped(run.id));
      throw failure;
    } finally {
      clear();
      unlisten();
      this.#workerManager?.release(run.id);
      this.#pods.free(run.id);
      if (this.#dataRun === run.id) this.#dataRun = undefined;
      this.#running.delete(run.id);
    }
  }

  /** Trains, or compares models. */
  async #execute(placed: OnChips, { abort, drain }: { readonly abort: AbortSignal; readonly drain: AbortSignal }): Promise<Report> {
    const { run, slice, job } = placed;
    const { root, home, workers } = this.#options;
    const workerManager = ensure(this.#workerManager, "workers");
    const options = {
      run,
      slice,
      root,
      workers: job.workers ?? workersForSlice(workers, sliceOf(job)),
      cacheDir: join(home, "cache"),
      startGroup: (group: Parameters<ExecutionOptions["startGroup"]>[0]) => workerManager.startGroup(run, group),
      hasWorkers: (count: number) => workerManager.hasWorkers(count, job.numerics),
      clock: this.#clock,
      signal: abort,
      drain,
      failpoints: this.#options.failpoints ?? noFailpoints,
    };
    if (isStep(job)) return executeStep({ ...options, job });
    const current = await withNewestCheckpoints(job);
    return (current.recipe === "compare" ? compareOnPod : execute)({ ...options, job: current });
  }

  #finish(run: Run, state: "done" | "failed" | "cancelled", error?: LapidaryError): void {
    run.record({ type: "job_ended", state, ...(error === undefined ? {} : { error: eventError(error) }) });
    this.#waiting.delete(run.id);
    const refused = run.finish(state, error?.toJSON());
    if (refused !== undefined) this.#log.error("the end of a job could not be written", { job: run.id, ...errorFields(refused) });
    this.#log.info(`job ${state}`, { job: run.id, ...(error === undefined ? {} : { error: error.toJSON() }) });
    // An internal error: the log needs its stack.
    if (error?.code === "LAP_INTERNAL") this.#log.error("internal error", errorFields(error.cause));
    this.#queue?.continueAfter(run);
  }

  // ---- requests of the API ----

  #service(runs: RunStore): Service {
    return {
      runs,
      status: () => this.#status(runs),
      submit: (request) => this.#submit(runs, request),
      cancel: (id) => this.#cancel(runs.get(id)),
      submitPipeline: (request) => this.#submitPipeline(runs, request),
      pipeline: (id) => pipelineDetail(ensure(this.#pipelines, "pipelines").get(id), runs),
      cancelPipeline: (id) => cancelPipeline(ensure(this.#pipelines, "pipelines").get(id), runs, (run) => this.#cancel(run)),
      resume: (id, request) => this.#resume(runs.get(id), request.overrides),
      detail: (run) => this.#detail(run),
      checkpoints: (run): Promise<CheckpointEntry[]> => listCheckpoints(join(run.directory, runFiles.checkpoints)),
      shutdown: () => this.#requestStop("requested"),
    };
  }

  async #submit(runs: RunStore, request: z.output<typeof submitRequestSchema>): Promise<Submitted> {
    const { root, home } = this.#options;
    const dataJob = dataJobIn(request.job);
    if (dataJob !== undefined) {
      const priority = request.priority ?? dataJob.priority;
      return this.#create(runs, { ...describeDataJob(dataJob, home), name: nameOf(request, dataJob.name), priority }, []);
    }
    const runsDirectory = join(home, "runs");
    const submitted = submitsStep(request) ? submittedStep(request, root) : parsePlacedJob(request, root, { runsDirectory });
    const { job } = submitted;
    // A repeated request returns the run that the first request created, even if its inputs have changed.
    const isKnown = request.name !== undefined && runs.find(request.name) !== undefined;
    const warnings = isKnown
      ? []
      : "locationOf" in submitted
        ? await checkSubmitted(submitted, root, runsDirectory)
        : checkStepJob(submitted.job, runsDirectory);
    const description = isStep(job) ? describeStepJob(job) : describeJob(job);
    return this.#create(runs, { ...description, name: nameOf(request, job.name), priority: request.priority ?? job.priority }, warnings);
  }

  async #create(runs: RunStore, wanted: Omit<NewRun, "queue_id">, warnings: readonly Warning[]): Promise<Submitted> {
    const queue = this.#queue;
    if (queue === undefined || this.#stopping !== undefined) throw notReady();
    const { run, existed } = runs.create({ ...wanted, queue_id: `q-${randomUUID()}` });
    if (!existed) {
      run.warn(warnings);
      try {
        await queue.enqueue(run);
      } catch (error) {
        runs.discard(run);
        throw error;
      }
    }
    return { id: run.id, state: run.state, existed, warnings: run.summary.warnings ?? [] };
  }

  async #submitPipeline(runs: RunStore, request: z.output<typeof submitPipelineSchema>): Promise<PipelineSubmitted> {
    const pipelines = ensure(this.#pipelines, "pipelines");
    const place = { root: this.#options.root, home: this.home, runs, pipelines };
    const checked = await checkNewPipeline(request, place, this.#clock.now());
    const queue = this.#queue;
    if (queue === undefined || this.#stopping !== undefined) throw notReady();
    return createPipeline(checked, place, (run) => queue.enqueue(run));
  }

  async #cancel(run: Run): Promise<Cancelled> {
    const running = this.#running.get(run.id);
    if (run.summary.finished_at === undefined) run.record({ type: "cancel_requested" });
    if (running !== undefined) running.abort(cancelOf(run.id));
    else if (run.summary.finished_at === undefined && (await ensure(this.#queue, "queue").leave(run))) {
      this.#finish(run, "cancelled");
      this.#workerManager?.release(run.id);
    }
    return { id: run.id, state: run.state };
  }

  async #resume(run: Run, overrides: readonly string[]): Promise<Resumed> {
    const queue = this.#queue;
    if (queue === undefined || this.#stopping !== undefined) throw notReady();
    if (run.summary.finished_at === undefined || run.state === "done" || this.#running.has(run.id)) throw notResumable(run);
    const { root } = this.#options;
    const runs = ensure(this.#runs, "runs");
    const unresolved = endByNeeds(run, runs);
    if (unresolved !== undefined) throw unresolved.error;
    const dataJob = dataJobIn(run.identity.job);
    if (dataJob !== undefined) return this.#resumeData(run, dataJob, overrides);
    prepareResume(run, root, overrides);
    const checkpoints = await listCheckpoints(join(run.directory, runFiles.checkpoints));
    const job = jobOfRun(run, root);
    const warnings = isStep(job)
      ? checkStepJob(job, join(this.home, "runs"))
      : await checkResumed(await withNewestCheckpoints(job), root, checkpoints.length === 0, (of) => isUnfinishedNeed(of, run, runs));
    run.resume(isStep(job) ? job.steps : job.train.steps, printMesh(meshOf(job)));
    await this.#enqueueResumed(run);
    run.warn(warnings);
    return { id: run.id, state: run.state, from_step: checkpoints.at(-1)?.step ?? 0, warnings: [...warnings] };
  }

  /** The file of the pipeline is read again: what it changes is computed, and the rest is found. */
  async #resumeData(run: Run, dataJob: DataJob, overrides: readonly string[]): Promise<Resumed> {
    const [override] = overrides;
    if (override !== undefined)
      throw new LapidaryError({ code: "LAP_RESUME_CHANGES", message: "a data pipeline has no overrides", location: override });
    const { steps, mesh } = describeDataJob(dataJob, this.home);
    run.resume(steps, mesh);
    await this.#enqueueResumed(run);
    return { id: run.id, state: run.state, from_step: 0, goes_on: true, warnings: [] };
  }

  async #enqueueResumed(run: Run): Promise<void> {
    run.waitFor(unfinishedNeeds(run, ensure(this.#runs, "runs")));
    try {
      await ensure(this.#queue, "queue").enqueue(run);
    } catch (error) {
      this.#finish(run, "failed", asJobError(run, error));
      throw error;
    }
  }

  #detail(run: Run): JobDetail {
    return { ...run.summary, job: run.identity.job, directory: run.directory, ...(this.#workerManager?.of(run.id) ?? {}) };
  }

  #status(runs: RunStore): Status {
    const store = ensure(this.#store, "store");
    const pods = this.#pods.status();
    return {
      version: this.#version,
      pid: process.pid,
      port: this.port,
      started_at: this.#startedAt,
      home: this.home,
      redis: { address: store.displayAddress, connected: store.connection.status === "ready" },
      workers: this.#workerManager?.status() ?? [],
      ...(pods === undefined ? {} : { pods }),
      jobs: runs.counts(),
    };
  }
}

const nameOf = ({ name }: { readonly name?: string | undefined }, like: string): NewRun["name"] =>
  name === undefined ? { like } : { exactly: name };

export const startCoordinator = (options: CoordinatorOptions): Promise<Coordinator> => Coordinator.start(options);

/** The inputs of a job that was submitted, before it waits for its chips. */
const checkSubmitted = async (
  { job, locationOf, warnings }: LocatedJob,
  projectRoot: string,
  runsDirectory: string,
): Promise<readonly Warning[]> => [
  ...warnings,
  ...checkOutput(job, runsDirectory),
  ...(await checkJobInputs(job, { projectRoot, locationOf, runsDirectory })),
  ...jobWarnings(job),
];

/** The inputs of a job that is resumed. @param isFirst whether the run has no checkpoint */
async function checkResumed(
  job: ResolvedJob,
  projectRoot: string,
  isFirst: boolean,
  isPending: (run: string) => boolean,
): Promise<readonly Warning[]> {
  await checkJobInputs(job, { projectRoot, readsInit: isFirst || needsInit(job), isPending });
  return jobWarnings(job);
}

/** A run that has its chips. A run without a job has ended before. */
type Placed = { readonly run: Run } | { readonly run: Run; readonly dataJob: DataJob } | OnChips;

interface OnChips {
  readonly run: Run;
  readonly job: QueuedJob;
  readonly slice: SlicePlace;
}

/** In the home directory if its path is short enough for sockets. */
const socketDirectory = (home: string): string => dirname(socketPathFor(join(home, "workers", "longest-socket-name")));

/** A run that an earlier coordinator did not end waits for its chips again. It resumes after its last durable step. */
function takeOverRuns(runs: RunStore): void {
  for (const run of runs.all()) {
    if (run.summary.finished_at !== undefined || run.state === "queued") continue;
    run.takeOver();
    run.record({ type: "job_taken_over", resumed: run.summary.resumed ?? 0 });
  }
}
