import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { compile } from "@lapidary/compiler";
import { buildModel } from "@lapidary/models";
import { type Clock, LapidaryError, ensure, seededRandom } from "@lapidary/std";
import { makeMesh, makeWorkerGrid, parseTorus } from "@lapidary/topology";
import { compileOptions, type ResolvedJob, trainStep } from "@lapidary/training";
import type { JobDetail, Status, TrainRow } from "@lapidary/api";
import type { SlicePlace } from "@lapidary/api/api-values";
import { PageFiles } from "../http/page-files.js";
import { type HttpServer, serveHttp } from "../http/server.js";
import type { Service } from "../http/service.js";
import { parseJob, describeJob } from "../jobs.js";
import { type Run, runFiles, RunStore, viewMachine, makeProgramView, writeProgramView } from "@lapidary/telemetry";
import type { WorkerStep } from "@lapidary/api/frames";
import { WorkerStepLog } from "@lapidary/api/worker-steps";

import { recordedPipelines, type RecordedRecipe } from "./recorded-post-training.js";

/**
 * Recorded runs without workers: real jobs, compiled, with generated numbers in the files of a run. They are for screenshots, and for tests that
 * need more steps or chips than a test can train.
 */
export interface RecordedRun {
  readonly id: string;
  /** A job file, relative to the project's root; or the text of one. */
  readonly path?: string;
  readonly yaml?: string;
  readonly overrides?: readonly string[];
  /** Number of finished steps. */
  readonly done: number;
  readonly origin?: readonly number[];
  readonly workers?: number;
  /** Begins this many milliseconds before now. */
  readonly age_ms?: number;
  readonly step_ms?: number;
  /** A worker that is slower than the others by a factor. */
  readonly straggler?: { readonly worker: number; readonly factor: number };
  readonly end?: "done" | "failed" | "cancelled";
  /** Accepted and queued, not started. */
  readonly waits?: boolean;
  /** Lines for the log. */
  readonly logs?: readonly string[];
  /** Metrics and samples of a recipe. */
  readonly recipe?: RecordedRecipe;
  /** The contents of its report. */
  readonly report?: unknown;
  /** The pipeline that it belongs to, and the runs that it needs. */
  readonly pipeline?: string;
  readonly needs?: readonly string[];
}

export class RecordedRuns {
  /** A clock that the recorded steps advance. */
  #now = 0;
  readonly clock: Clock = { now: () => (this.#now === 0 ? Date.now() : this.#now), monotonic: () => performance.now() };
  readonly slices = new Map<string, SlicePlace>();
  readonly #groups = new Map<string, { readonly worker: number; readonly pid: number }[]>();
  readonly runs: RunStore;

  private constructor(
    runs: RunStore,
    readonly root: string,
  ) {
    this.runs = runs;
  }

  static async open(home: string, root: string): Promise<RecordedRuns> {
    const late: { clock: Clock } = { clock: { now: () => Date.now(), monotonic: () => performance.now() } };
    const recorded = new RecordedRuns(
      await RunStore.open(join(home, "runs"), { now: () => late.clock.now(), monotonic: () => late.clock.monotonic() }),
      root,
    );
    late.clock = recorded.clock;
    return recorded;
  }

  record(wanted: RecordedRun): RecordedRunWriter {
    const { id, path, yaml, overrides = [], workers = 2, step_ms = 420, waits = false, pipeline, needs = [] } = wanted;
    const begin = Date.now() - (wanted.age_ms ?? wanted.done * step_ms + 9000);
    this.#now = begin;
    const job = parseJob({ path, yaml, overrides: [...overrides], priority: 0 }, this.root);
    const place = pipeline === undefined ? {} : { pipeline, needs: [...needs] };
    const { run } = this.runs.create({ ...describeJob(job), name: { exactly: id }, priority: 0, queue_id: id, ...place });
    if (waits) {
      this.#now = 0;
      return new RecordedRunWriter(run, job, wanted, workers, () => Date.now());
    }
    const slice = {
      pod: 0,
      pods: job.pods,
      origin: [...(wanted.origin ?? parseTorus(job.slice).dims.map(() => 0))],
      dims: [...parseTorus(job.slice).dims],
    };
    run.enter("compiling", { slice });
    this.#now += 1400;
    run.enter("compiling", { activity: { what: "train the tokenizer", done: 40, total: 40 } });
    this.#now += 2100;
    run.record({
      type: "dataset_ready",
      corpus: "packages of node_modules",
      documents: 1932,
      tokens: 2_411_008,
      heldout_tokens: 126_903,
      unigram_loss: 6.174,
    });
    const { steps, optimizer, schedule, clip, batch, seq } = job.train;
    const graph = trainStep(
      buildModel(job.model.config),
      { steps, optimizer, schedule, ...(clip === undefined ? {} : { clip }) },
      { batch, seq },
    );
    const program = compile(graph, { ...compileOptions(job, graph), verify: false });
    writeProgramView(run.directory, makeProgramView(program, viewMachine(job, this.root)));
    this.#now += 900;
    run.enter("placing");
    const size = makeWorkerGrid(makeMesh(job.mesh), workers).workers;
    const group = Array.from({ length: size }, (_, worker) => ({ worker, pid: 41_210 + worker }));
    run.enter("placing", { activity: { what: "load programs" }, workers: group });
    run.record({ type: "worker_group_started", attempt: 1, slice, workers: group });
    this.#now += 1500;
    run.enter("running");
    this.slices.set(id, slice);
    this.#groups.set(id, group);
    const writer = new RecordedRunWriter(run, job, wanted, size, (ms) => (this.#now = this.#now === 0 ? Date.now() : this.#now + ms));
    writer.steps(wanted.done);
    for (const line of wanted.logs ?? []) run.log("worker 0", line);
    if (wanted.report !== undefined) writeFileSync(join(run.directory, runFiles.report), JSON.stringify(wanted.report));
    if (wanted.end !== undefined) this.finish(run, wanted.end);
    this.#now = 0;
    return writer;
  }

  finish(run: Run, end: "done" | "failed" | "cancelled"): void {
    const error = new LapidaryError({
      code: "LAP_WORKER_LOST",
      message: "worker 1 was lost: its process was ended by SIGKILL",
      location: "worker 1",
      remedy: "look at worker-1.log, then launch the job again",
    });
    run.finish(end, end === "failed" ? error.toJSON() : undefined);
    this.slices.delete(run.id);
  }

  status(port: number): Status {
    const torus = [16, 16];
    const pods = Math.max(1, ...[...this.slices.values()].map((slice) => slice.pod + slice.pods));
    const taken = [...this.slices.values()].reduce((sum, { dims, pods: n }) => sum + n * dims.reduce((a, b) => a * b, 1), 0);
    return {
      version: "0.1.0",
      pid: process.pid,
      port,
      started_at: Date.now() - 3_600_000,
      home: this.runs.directory,
      redis: { address: "unix:redis.sock", connected: true },
      workers: [...this.#groups]
        .filter(([job]) => this.slices.has(job))
        .flatMap(([job, group]) => group.map(({ pid }, worker) => ({ worker, pid, job }))),
      pods: {
        name: "v5e-256",
        torus: torus.join("x"),
        pods,
        chips: pods * 256,
        free_chips: pods * 256 - taken,
        slices: [...this.slices].map(([job, slice]) => ({ ...slice, job })),
      },
      jobs: this.runs.counts(),
    };
  }

  /** The API and the page of the recorded runs. */
  async serve(token: string, port = 0, page = join(this.root, "packages/dashboard/page/dist")): Promise<HttpServer> {
    let bound = port;
    const service: Service = {
      runs: this.runs,
      status: () => this.status(bound),
      submit: async (request) => {
        const job = parseJob(request, this.root);
        const { run, existed } = this.runs.create({
          ...describeJob(job),
          name: request.name === undefined ? { like: job.name } : { exactly: request.name },
          priority: request.priority ?? 0,
          queue_id: "q",
        });
        return { id: run.id, state: run.state, existed, warnings: [] };
      },
      ...recordedPipelines(this.runs, this.root, (id) => this.finish(this.runs.get(id), "cancelled")),
      resume: () => Promise.reject(new Error("not here")),
      cancel: async (id) => {
        this.finish(this.runs.get(id), "cancelled");
        return { id, state: this.runs.get(id).state };
      },
      detail: (run): JobDetail => ({
        ...run.summary,
        job: run.identity.job,
        directory: run.directory,
        ...(this.#groups.has(run.id) ? { workers: ensure(this.#groups.get(run.id), "worker group") } : {}),
      }),
      checkpoints: async () => [],
      shutdown: () => undefined,
    };
    const server = await serveHttp({
      port,
      token,
      service,
      page: new PageFiles(page),
      root: this.root,
      home: dirname(this.runs.directory),
      onBug: (error) => process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`),
    });
    bound = server.port;
    return server;
  }
}

/** The numbers of one run, step by step: a loss that falls, spikes, and a worker that waits for the other. */
export class RecordedRunWriter {
  readonly #log: WorkerStepLog;
  readonly #random = seededRandom(7);
  #step = 0;

  constructor(
    readonly run: Run,
    readonly job: ResolvedJob,
    private readonly wanted: RecordedRun,
    private readonly workers: number,
    private readonly advance: (ms: number) => number,
  ) {
    this.#log = new WorkerStepLog(run.directory);
  }

  get step(): number {
    return this.#step;
  }

  steps(count: number): void {
    for (let i = 0; i < count; i++) this.next();
  }

  next(): TrainRow {
    const step = ++this.#step;
    const { steps, batch, seq, optimizer } = this.job.train;
    const { recipe } = this.wanted;
    const noise = (): number => this.#random.next() - 0.5;
    const spike = this.#random.next() > 0.995 ? 1.2 : 0;
    const through = step / steps;
    const loss = 2.4 + 5.1 * Math.exp(-5 * through) * (1 - through * 0.2) + noise() * 0.18 + spike * 0.4;
    const worker = this.#workerStep(step);
    const step_ms = Math.max(...worker.times.map(({ total_ms }) => total_ms)) * 1.02;
    this.#log.append(worker);
    const row: TrainRow = {
      kind: "train",
      time: this.advance(step_ms),
      step,
      loss,
      grad_norm: 0.6 + 3 * Math.exp(-8 * through) + Math.abs(noise()) * 0.3 + spike * 4,
      learning_rate: "lr" in optimizer ? optimizer.lr * Math.min(1, step / 30, 0.1 + 0.45 * (1 + Math.cos(Math.PI * through))) : 0,
      tokens_per_s: (batch * seq * 1000) / step_ms,
      step_ms,
      eta_s: ((steps - step) * step_ms) / 1000,
      ...(recipe === undefined ? {} : { metrics: recipe.metrics(step / steps, noise) }),
    };
    this.run.metrics(row);
    const every = Math.max(1, Math.round(steps / 6));
    if (step % every === 0 || step === steps) {
      const metrics = recipe === undefined ? {} : { metrics: recipe.heldout(step / steps) };
      this.run.metrics({ kind: "eval", time: row.time, step, heldout_loss: loss + 0.12, unigram_loss: 6.174, tokens: 32_768, ...metrics });
      for (const completions of recipe?.samples(step / steps) ?? [])
        this.run.record({ type: "completions_sampled", step, split: "heldout", completions: [...completions] });
    }
    if (step % every === 0)
      this.run.record({ type: "checkpoint_written", step, path: join(this.run.directory, `checkpoints/step-${step}`), bytes: 1 << 20 });
    return row;
  }

  #workerStep(step: number): WorkerStep {
    const { step_ms = 420, straggler } = this.wanted;
    const busy = Array.from({ length: this.workers }, (_, w) => {
      const slow = straggler?.worker === w ? straggler.factor : 1;
      const delay = this.#random.next() > 0.985 ? 1.35 : 1;
      return step_ms * slow * delay * (0.94 + this.#random.next() * 0.06) * (step < 4 ? 1.8 : 1);
    });
    const longest = Math.max(...busy);
    return {
      step,
      times: busy.map((ms) => ({ total_ms: longest * 1.03, gemm_ms: ms * 0.61, other_ms: ms * 0.36, wait_ms: longest * 1.03 - ms * 0.97 })),
    };
  }
}
