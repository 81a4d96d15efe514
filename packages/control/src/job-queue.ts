import { type JsonValue, LapidaryError } from "@lapidary/std";
import { type Job as BullJob, FlowProducer, type JobType, Queue } from "bullmq";
import {
  bullPriority,
  cancelledError,
  checkRequest,
  errorFromReason,
  fingerprintOf,
  isCancelled,
  type Job,
  type JobRecord,
  type JobRequest,
  type JobState,
  nameTakenError,
  type StoredJob,
  unknownJobError,
} from "./job.js";
import { JobRunner, jobOf } from "./job-runner.js";
import { NeedRunner, type StoredNeed } from "./need-runner.js";
import type { Store } from "./store.js";
import { isBefore } from "./pending-queue.js";

export interface JobQueueOptions {
  /** Default `jobs`. */
  readonly name?: string;
  /** Number of finished jobs to keep; the name of a dropped job is free again. Default 1000. */
  readonly keep?: number;
  /** Lifetime of BullMQ's lock on a job. After a coordinator dies, the next one gets its jobs once this time passed. Default 4000. */
  readonly lockMs?: number;
  /** How often later jobs may pass a job over, see `PendingQueue`. Default 16. */
  readonly maxPassedOver?: number;
  /** Called with errors of background work, such as an unreachable Redis: for a log. */
  readonly onError?: (error: Error) => void;
}

/** What the coordinator does with jobs. */
export interface JobHandlers<P> {
  /**
   * Claims what the job needs (a slice) and returns it, or returns undefined when it does not fit now. The queue calls it in
   * queue order when a job arrives or ends, and on `reconsider`. If it throws, the job fails with that error.
   */
  place(job: Job): P | undefined;
  /**
   * Runs the job on its placement; called in the same event-loop turn as `place`. It frees the claim before it settles. Its
   * value is the result of the job; its rejection is the reason of the failure. When `signal` aborts, it must reject soon.
   * The reason is LAP_JOB_CANCELLED, or LAP_JOB_RELEASED if the job is to continue later (write a checkpoint first).
   */
  run(job: Job, placement: P, signal: AbortSignal): Promise<JsonValue>;
  /** Resolves when a need of a job has ended, or when the job with this id does not wait any more. Required for jobs with needs. */
  awaitNeed?(need: string, id: string): Promise<void>;
}

// NAMESPACE:jobs:*           BullMQ's keys of jobs
// NAMESPACE:jobs-needs:*     BullMQ's keys of needs, the children of the jobs that wait for them
// NAMESPACE:job-names        hash: name → [id, fingerprint of the payload]
// NAMESPACE:job-sequence     number of jobs ever submitted
// NAMESPACE:job-cancels      set: ids of jobs to cancel that have not ended yet

/**
 * Jobs in Redis, through BullMQ. Any process may submit and list jobs; only the holder of the coordinator's lease runs them.
 * All methods throw LAP_REDIS_UNREACHABLE within the store's timeout.
 */
export class JobQueue {
  readonly #store: Store;
  readonly #options: JobQueueOptions;
  readonly #queue: Queue<StoredJob, JsonValue, string>;
  readonly #flows: FlowProducer;
  #runner: JobRunner | undefined;
  #needs: NeedRunner | undefined;

  constructor(store: Store, options: JobQueueOptions = {}) {
    this.#store = store;
    this.#options = options;
    this.#queue = new Queue<StoredJob, JsonValue, string>(options.name ?? "jobs", {
      connection: store.connection,
      prefix: store.namespace,
      skipVersionCheck: true,
    });
    this.#queue.on("error", this.#onError);
    this.#flows = new FlowProducer({ connection: store.connection, prefix: store.namespace, skipVersionCheck: true });
    this.#flows.on("error", this.#onError);
  }

  /**
   * Puts a job into the queue. If a job with this id, or with this name and payload, exists, returns the id of that job.
   *
   * @throws LAP_JOB_NAME_TAKEN when another job has the name; LAP_JOB_NAME, LAP_JOB_PRIORITY
   */
  async submit(request: JobRequest): Promise<{ readonly id: string; readonly created: boolean }> {
    checkRequest(request);
    const { name, payload, priority = 0, needs = [] } = request;
    const fingerprint = fingerprintOf(payload);
    // Claim the name first. If this process dies before the job is added, the next submission of the name adds it.
    const [id, storedFingerprint] = await this.#claimName(name, request.id, fingerprint);
    if (storedFingerprint !== fingerprint) throw nameTakenError(name, id);
    const sequence = await this.#store.run((redis) => redis.incr(this.#store.key("job-sequence")));
    const data: StoredJob = { name, priority, payload, sequence, fingerprint };
    await this.#add(id, data, needs);
    const stored = (await this.#find(id)).data;
    if (stored.name === name && stored.fingerprint === fingerprint) return { id, created: stored.sequence === sequence };
    await this.#store.run((redis) => redis.hdel(this.#store.key("job-names"), name));
    throw nameTakenError(stored.name, id);
  }

  /** @throws LAP_JOB_UNKNOWN */
  async get(id: string): Promise<JobRecord> {
    const record = await this.#record(await this.#find(id));
    if (record.state !== "waiting") return record;
    const waiting = await this.list(["waiting"]);
    return waiting.find((other) => other.id === id) ?? this.#record(await this.#find(id));
  }

  /** Jobs in the order of submission, of the given states or of all states. */
  async list(states?: readonly JobState[]): Promise<JobRecord[]> {
    const unfinished = states?.every((state) => state === "waiting" || state === "running") ?? false;
    const bulls = await this.#store.run(() =>
      this.#queue.getJobs(unfinished ? [...unfinishedTypes] : [...unfinishedTypes, "completed", "failed"]),
    );
    // A job that changes state during the listing may appear twice or not at all.
    const distinct = new Map(bulls.filter((bull) => bull !== undefined).map((bull) => [bull.id, bull]));
    const records = await Promise.all([...distinct.values()].map((bull) => this.#record(bull)));
    const waiting = records.filter(({ state }) => state === "waiting").sort((a, b) => (isBefore(a, b) ? -1 : 1));
    const positions = new Map(waiting.map(({ id }, i) => [id, i + 1]));
    return records
      .filter(({ state }) => states === undefined || states.includes(state))
      .map((record) => ({ ...record, ...positionOf(positions.get(record.id)) }))
      .sort((a, b) => a.sequence - b.sequence);
  }

  /**
   * Cancels the job. A waiting job is cancelled immediately. A running job gets its signal aborted, and is still `running` in
   * the returned record. A finished job does not change.
   *
   * @throws LAP_JOB_UNKNOWN
   */
  async cancel(id: string): Promise<JobRecord> {
    const record = await this.get(id);
    if (record.state !== "waiting" && record.state !== "running") return record;
    // Store the cancellation first: if this process dies, the next process that gets the job reads it.
    await this.#store.run((redis) => redis.sadd(this.#store.key("job-cancels"), id));
    this.#runner?.cancel(id);
    return this.get(id);
  }

  /**
   * Puts a failed or cancelled job into the queue again, with the same id.
   *
   * @throws LAP_JOB_UNKNOWN, LAP_JOB_NOT_FAILED
   */
  async retry(id: string): Promise<JobRecord> {
    const bull = await this.#find(id);
    if (bull.finishedOn === undefined || bull.failedReason === undefined)
      throw new LapidaryError({
        code: "LAP_JOB_NOT_FAILED",
        message: `job ${id} has not failed`,
        location: id,
      });
    await this.#clearCancel(id);
    this.#runner?.forget(id);
    await this.#store.run(() => bull.retry("failed"));
    return this.get(id);
  }

  /** Starts to run jobs, each as soon as it fits. Call it once, as the holder of the coordinator's lease. */
  onJob<P>(handlers: JobHandlers<P>): void {
    this.#runner ??= new JobRunner(this.#store, {
      queue: this.#queue.name,
      start: (job, signal) => {
        const placement = handlers.place(job);
        return placement === undefined ? undefined : () => handlers.run(job, placement, signal);
      },
      isCancelled: (id) => this.#isCancelled(id),
      onFinished: (id) => this.#clearCancel(id).catch(this.#onError),
      lockMs: this.#options.lockMs ?? 4000,
      maxPassedOver: this.#options.maxPassedOver,
      onError: this.#onError,
    });
    this.#needs ??= new NeedRunner(this.#store, {
      queue: this.#needsQueue,
      awaitNeed: ({ need, job }) => handlers.awaitNeed?.(need, job) ?? Promise.resolve(),
      lockMs: this.#options.lockMs ?? 4000,
      onError: this.#onError,
    });
  }

  /** Checks again whether waiting jobs fit. Call it when chips became free for a reason other than the end of a job. */
  reconsider(): void {
    this.#runner?.reconsider();
  }

  /** Stops: waiting jobs stay in the queue; running jobs are aborted (LAP_JOB_RELEASED) and awaited. The store stays open. */
  async close(): Promise<void> {
    await this.#needs?.close();
    await this.#runner?.close();
    await this.#flows.close();
    await this.#queue.close();
  }

  readonly #onError = (error: Error): void => {
    this.#options.onError?.(error);
  };

  get #needsQueue(): string {
    return `${this.#queue.name}-needs`;
  }

  /** Adds a job with its needs in one transaction. A job that exists does not change. */
  async #add(id: string, data: StoredJob, needs: readonly string[]): Promise<void> {
    const keep = { count: this.#options.keep ?? 1000 };
    const opts = { jobId: id, priority: bullPriority(data.priority), attempts: 1, removeOnComplete: keep, removeOnFail: keep };
    if (needs.length === 0) return void (await this.#store.run(() => this.#queue.add(data.name, data, opts)));
    // A flow would give an existing job new children.
    if ((await this.#store.run(() => this.#queue.getJob(id))) !== undefined) return;
    const children = needs.map((need) => ({
      name: need,
      queueName: this.#needsQueue,
      data: { job: id, need } satisfies StoredNeed,
      opts: { jobId: `${id}.${need}`, removeOnComplete: true, removeOnFail: true, ignoreDependencyOnFailure: true },
    }));
    await this.#store.run(() => this.#flows.add({ name: data.name, queueName: this.#queue.name, data, opts, children }));
  }

  async #claimName(name: string, id: string, fingerprint: string): Promise<[id: string, fingerprint: string]> {
    const script = "redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) return redis.call('HGET', KEYS[1], ARGV[1])";
    const claim = JSON.stringify([id, fingerprint]);
    const storedFingerprint = await this.#store.run((redis) => redis.eval(script, 1, this.#store.key("job-names"), name, claim));
    return JSON.parse(String(storedFingerprint)) as [string, string];
  }

  async #find(id: string): Promise<BullJob<StoredJob, JsonValue>> {
    const bull = await this.#store.run(() => this.#queue.getJob(id));
    if (bull === undefined) throw unknownJobError(id);
    return bull;
  }

  async #record(bull: BullJob<StoredJob, JsonValue>): Promise<JobRecord> {
    const job = jobOf(bull);
    const localState = this.#runner?.stateOf(job.id);
    const startedAt = this.#runner?.startedAt(job.id) ?? startOf(bull.progress);
    const times = {
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(bull.finishedOn === undefined ? {} : { finishedAt: bull.finishedOn }),
    };
    const failed = (error: LapidaryError): JobRecord => ({ ...job, ...times, state: isCancelled(error) ? "cancelled" : "failed", error });
    if (bull.finishedOn !== undefined)
      return bull.failedReason === undefined
        ? { ...job, ...times, state: "done", result: bull.returnvalue }
        : failed(errorFromReason(job.id, bull.failedReason));
    if (typeof localState === "object" && localState.kind === "done") return { ...job, ...times, state: "done", result: localState.result };
    if (typeof localState === "object" && localState.kind === "failed") return failed(localState.error);
    if (localState === "running") return { ...job, ...times, state: "running" };
    if (localState === undefined && (await this.#isCancelled(job.id))) return failed(cancelledError(job.id));
    if (this.#runner === undefined && startedAt !== undefined) return { ...job, ...times, state: "running" };
    return { ...job, state: "waiting" };
  }

  async #isCancelled(id: string): Promise<boolean> {
    return 1 === (await this.#store.run((redis) => redis.sismember(this.#store.key("job-cancels"), id)));
  }

  async #clearCancel(id: string): Promise<void> {
    await this.#store.run((redis) => redis.srem(this.#store.key("job-cancels"), id));
  }
}

/** The types of BullMQ for jobs that have not ended. A job waits for its children if it has needs. */
const unfinishedTypes = ["active", "waiting", "prioritized", "waiting-children"] as const satisfies readonly JobType[];

function positionOf(position: number | undefined): { readonly position?: number } {
  return position === undefined ? {} : { position };
}

/** Only JobRunner writes the progress of a job. */
function startOf(progress: unknown): number | undefined {
  if (typeof progress !== "object" || progress === null || !("startedAt" in progress)) return undefined;
  return typeof progress.startedAt === "number" ? progress.startedAt : undefined;
}
