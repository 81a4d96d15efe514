import { type JsonValue, LapidaryError } from "@lapidary/std";
import { type Job as BullJob, Queue } from "bullmq";
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
import type { Store } from "./store.js";
import { goesBefore } from "./waiting-line.js";

export interface JobQueueOptions {
  /** Default `jobs`. */
  readonly name?: string;
  /** How many finished jobs are remembered; the name of a forgotten one is free again. Default 1000. */
  readonly keep?: number;
  /** After this long without a sign of life its jobs pass from a dead coordinator to the next. Default 4000. */
  readonly lockMs?: number;
  /** See `WaitingLine`. Default 16. */
  readonly maxOvertakes?: number;
  /** Hears of trouble in the background, such as a Redis that is away: for a log. */
  readonly onTrouble?: (error: Error) => void;
}

/** What the coordinator does with jobs. */
export interface JobHandlers<P> {
  /**
   * Claims what the job needs (a slice) and returns it, or returns undefined when it does not fit now. Asked in the order of
   * the line whenever a job came or ended, or on `reconsider`. When it throws, the job fails with that error.
   */
  place(job: Job): P | undefined;
  /**
   * Runs the job where it was placed; called in the same turn as `place`. It frees what was claimed before it settles. Its
   * value is the job's result, its rejection the reason of the failure. When `signal` aborts it shall end soon and reject:
   * the reason is LAP_JOB_CANCELLED, or LAP_JOB_RELEASED when the job shall go on later (make a checkpoint first).
   */
  run(job: Job, placement: P, signal: AbortSignal): Promise<JsonValue>;
}

// NAMESPACE:jobs:*           BullMQ's keys
// NAMESPACE:job-names        hash: name → [id, fingerprint of the payload]
// NAMESPACE:job-sequence     how many jobs were ever submitted
// NAMESPACE:job-cancels      set: ids whose cancellation was decided and not yet carried out

/**
 * Jobs in Redis, through BullMQ. Any process may submit and look; one at a time (who holds the coordinator's lease) runs them.
 * All methods throw LAP_REDIS_UNREACHABLE within the store's timeout.
 */
export class JobQueue {
  readonly #store: Store;
  readonly #options: JobQueueOptions;
  readonly #queue: Queue<StoredJob, JsonValue, string>;
  #runner: JobRunner | undefined;

  constructor(store: Store, options: JobQueueOptions = {}) {
    this.#store = store;
    this.#options = options;
    this.#queue = new Queue<StoredJob, JsonValue, string>(options.name ?? "jobs", {
      connection: store.connection,
      prefix: store.namespace,
      skipVersionCheck: true,
    });
    this.#queue.on("error", this.#onTrouble);
  }

  /**
   * Puts a job into the queue. The same id, or the same name with the same payload, again is the same job, whose id is returned.
   *
   * @throws LAP_JOB_NAME_TAKEN when another job has the name; LAP_JOB_NAME, LAP_JOB_PRIORITY
   */
  async submit(request: JobRequest): Promise<{ readonly id: string; readonly created: boolean }> {
    checkRequest(request);
    const { name, payload, priority = 0 } = request;
    const fingerprint = fingerprintOf(payload);
    // The name first: a process that dies in between leaves a name whose job the next submission creates.
    const [id, known] = await this.#claimName(name, request.id, fingerprint);
    if (known !== fingerprint) throw nameTakenError(name, id);
    const sequence = await this.#store.run((redis) => redis.incr(this.#store.key("job-sequence")));
    const data: StoredJob = { name, priority, payload, sequence, fingerprint };
    const keep = { count: this.#options.keep ?? 1000 };
    await this.#store.run(() =>
      this.#queue.add(name, data, { jobId: id, priority: bullPriority(priority), attempts: 1, removeOnComplete: keep, removeOnFail: keep }),
    );
    const stored = (await this.#find(id)).data;
    if (stored.name === name && stored.fingerprint === fingerprint) return { id, created: stored.sequence === sequence };
    await this.#store.run((redis) => redis.hdel(this.#store.key("job-names"), name));
    throw nameTakenError(stored.name, id);
  }

  /** @throws LAP_JOB_UNKNOWN */
  async get(id: string): Promise<JobRecord> {
    const record = await this.#record(await this.#find(id));
    if (record.state !== "waiting") return record;
    const line = await this.list(["waiting"]);
    return line.find((other) => other.id === id) ?? this.#record(await this.#find(id));
  }

  /** Jobs in the order of their submission, of the given states or of all. */
  async list(states?: readonly JobState[]): Promise<JobRecord[]> {
    const unfinished = states?.every((state) => state === "waiting" || state === "running") ?? false;
    const bulls = await this.#store.run(() =>
      this.#queue.getJobs(unfinished ? ["active", "waiting", "prioritized"] : ["active", "waiting", "prioritized", "completed", "failed"]),
    );
    // A job that moves while it is listed may be listed twice, or be gone.
    const distinct = new Map(bulls.filter((bull) => bull !== undefined).map((bull) => [bull.id, bull]));
    const records = await Promise.all([...distinct.values()].map((bull) => this.#record(bull)));
    const line = records.filter(({ state }) => state === "waiting").sort((a, b) => (goesBefore(a, b) ? -1 : 1));
    const positions = new Map(line.map(({ id }, i) => [id, i + 1]));
    return records
      .filter(({ state }) => states === undefined || states.includes(state))
      .map((record) => ({ ...record, ...positionOf(positions.get(record.id)) }))
      .sort((a, b) => a.sequence - b.sequence);
  }

  /**
   * Decides that the job shall not go on. A waiting job is cancelled at once; a running one is asked to end, and is still
   * `running` in the record that is returned. A finished job stays as it is.
   *
   * @throws LAP_JOB_UNKNOWN
   */
  async cancel(id: string): Promise<JobRecord> {
    const record = await this.get(id);
    if (record.state !== "waiting" && record.state !== "running") return record;
    // Written down first: should this process die, the next one to get the job knows.
    await this.#store.run((redis) => redis.sadd(this.#store.key("job-cancels"), id));
    this.#runner?.cancel(id);
    return this.get(id);
  }

  /**
   * Puts a failed or cancelled job into the queue again, under its id.
   *
   * @throws LAP_JOB_UNKNOWN, LAP_JOB_NOT_FAILED
   */
  async retry(id: string): Promise<JobRecord> {
    const bull = await this.#find(id);
    if (bull.finishedOn === undefined || bull.failedReason === undefined)
      throw new LapidaryError({
        code: "LAP_JOB_NOT_FAILED",
        message: `job ${id} has not failed`,
        place: id,
      });
    await this.#forgetCancel(id);
    this.#runner?.forget(id);
    await this.#store.run(() => bull.retry("failed"));
    return this.get(id);
  }

  /** Runs the jobs from now on, each once it fits; call it once, as the holder of the coordinator's lease. */
  onJob<P>(handlers: JobHandlers<P>): void {
    this.#runner ??= new JobRunner(this.#store, {
      queue: this.#queue.name,
      begin: (job, signal) => {
        const placement = handlers.place(job);
        return placement === undefined ? undefined : () => handlers.run(job, placement, signal);
      },
      isCancelled: (id) => this.#isCancelled(id),
      onFinished: (id) => this.#forgetCancel(id).catch(this.#onTrouble),
      lockMs: this.#options.lockMs ?? 4000,
      maxOvertakes: this.#options.maxOvertakes,
      onTrouble: this.#onTrouble,
    });
  }

  /** Looks again whether waiting jobs fit: call it when chips became free other than by the end of a job. */
  reconsider(): void {
    this.#runner?.reconsider();
  }

  /** Stops running jobs: waiting ones stay in the queue, running ones are asked to end (LAP_JOB_RELEASED) and waited for. The store stays open. */
  async close(): Promise<void> {
    await this.#runner?.close();
    await this.#queue.close();
  }

  readonly #onTrouble = (error: Error): void => {
    this.#options.onTrouble?.(error);
  };

  async #claimName(name: string, id: string, fingerprint: string): Promise<[id: string, fingerprint: string]> {
    const script = "redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) return redis.call('HGET', KEYS[1], ARGV[1])";
    const claim = JSON.stringify([id, fingerprint]);
    const known = await this.#store.run((redis) => redis.eval(script, 1, this.#store.key("job-names"), name, claim));
    return JSON.parse(String(known)) as [string, string];
  }

  async #find(id: string): Promise<BullJob<StoredJob, JsonValue>> {
    const bull = await this.#store.run(() => this.#queue.getJob(id));
    if (bull === undefined) throw unknownJobError(id);
    return bull;
  }

  async #record(bull: BullJob<StoredJob, JsonValue>): Promise<JobRecord> {
    const job = jobOf(bull);
    const here = this.#runner?.stateOf(job.id);
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
    if (typeof here === "object" && here.kind === "done") return { ...job, ...times, state: "done", result: here.result };
    if (typeof here === "object" && here.kind === "failed") return failed(here.error);
    if (here === "running") return { ...job, ...times, state: "running" };
    if (here === undefined && (await this.#isCancelled(job.id))) return failed(cancelledError(job.id));
    if (this.#runner === undefined && startedAt !== undefined) return { ...job, ...times, state: "running" };
    return { ...job, state: "waiting" };
  }

  async #isCancelled(id: string): Promise<boolean> {
    return 1 === (await this.#store.run((redis) => redis.sismember(this.#store.key("job-cancels"), id)));
  }

  async #forgetCancel(id: string): Promise<void> {
    await this.#store.run((redis) => redis.srem(this.#store.key("job-cancels"), id));
  }
}

function positionOf(position: number | undefined): { readonly position?: number } {
  return position === undefined ? {} : { position };
}

/** Only our runner writes a job's progress. */
function startOf(progress: unknown): number | undefined {
  if (typeof progress !== "object" || progress === null || !("startedAt" in progress)) return undefined;
  return typeof progress.startedAt === "number" ? progress.startedAt : undefined;
}
