import { assert, type JsonValue, LapidaryError, ensure } from "@lapidary/std";
import { type Job as BullJob, UnrecoverableError, WaitingError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { cancelledError, type Job, jobError, type StoredJob } from "./job.js";
import { type Store, withTimeout } from "./store.js";
import { PendingQueue } from "./pending-queue.js";

/** How a delivered job ended. */
export type Outcome =
  | { readonly kind: "done"; readonly result: JsonValue }
  | { readonly kind: "failed"; readonly error: LapidaryError }
  /** Returned to the queue, for the next coordinator. */
  | { readonly kind: "released" };

export interface JobRunnerOptions {
  readonly queue: string;
  /** Returns the work of a job that can start now, or undefined if the job must wait. Throws if the job can never start. */
  readonly start: (job: Job, signal: AbortSignal) => (() => Promise<JsonValue>) | undefined;
  /** Whether this or an earlier process cancelled the job. */
  readonly isCancelled: (id: string) => Promise<boolean>;
  /** Called once the outcome of the job is in Redis. */
  readonly onFinished: (id: string) => void;
  readonly lockMs: number;
  readonly maxPassedOver: number | undefined;
  readonly onError: (error: Error) => void;
}

/** A job that BullMQ delivered to this process. */
interface DeliveredJob {
  readonly job: Job;
  readonly bull: BullJob<StoredJob, JsonValue>;
  readonly controller: AbortController;
  readonly outcome: Promise<Outcome>;
  readonly settle: (outcome: Outcome) => void;
  state: "arriving" | "waiting" | "running" | Outcome;
  startedAt: number | undefined;
}

/** Further jobs stay in BullMQ's own queue, in the order of their priority. */
const maxDelivered = 10_000;

/** Number of settled jobs to keep, in case BullMQ delivers one of them again. */
const maxSettled = 1000;

/**
 * Takes every job that BullMQ delivers, keeps it in the pending queue, and runs it when it fits.
 *
 *   BullMQ (waiting) ──deliver──► pending queue ──start──► run ──► outcome ──► BullMQ (completed, failed)
 *                      │                                             ▲
 *                      └── delivered again: join ────────────────────┘
 *
 * BullMQ delivers at least once. If this process was too busy to renew a lock, or Redis was unreachable, BullMQ delivers the
 * same job again. The second delivery joins the first, so a job never runs twice in one process. Between processes, only the
 * epoch of a lease prevents this.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #store: Store;
  readonly #connection: Redis;
  readonly #worker: Worker<StoredJob, JsonValue>;
  readonly #pending: PendingQueue<Job>;
  readonly #delivered = new Map<string, DeliveredJob>();
  #closing = false;
  #starting = false;
  #startAgain = false;

  constructor(store: Store, options: JobRunnerOptions) {
    this.#store = store;
    this.#options = options;
    this.#pending = new PendingQueue(options.maxPassedOver);
    this.#connection = store.blockingConnection();
    this.#worker = new Worker<StoredJob, JsonValue>(options.queue, (bull, token) => this.#deliver(bull, ensure(token, "token")), {
      connection: this.#connection,
      prefix: store.namespace,
      concurrency: maxDelivered,
      lockDuration: options.lockMs,
      stalledInterval: Math.ceil(options.lockMs / 4),
      // A job may outlive any number of coordinators. The coordinator decides when a job has failed too often.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 2,
      runRetryDelay: 500,
      skipVersionCheck: true,
    });
    this.#worker.on("error", options.onError);
    this.#worker.on("completed", ({ id }) => options.onFinished(ensure(id, "job id")));
    this.#worker.on("failed", (bull) => bull?.id !== undefined && options.onFinished(bull.id));
  }

  /** The state of the job in this process; undefined if it was not delivered here. */
  stateOf(id: string): DeliveredJob["state"] | undefined {
    return this.#delivered.get(id)?.state;
  }

  startedAt(id: string): number | undefined {
    return this.#delivered.get(id)?.startedAt;
  }

  /** Settles a waiting job as cancelled; aborts the signal of a running one. */
  cancel(id: string): void {
    const entry = this.#delivered.get(id);
    if (entry === undefined) return;
    const error = cancelledError(id);
    if (entry.state === "running") entry.controller.abort(error);
    else this.#settle(entry, { kind: "failed", error });
  }

  /** Drops the outcome of a settled job, so that it may run again. */
  forget(id: string): void {
    const entry = this.#delivered.get(id);
    if (entry !== undefined && isSettled(entry)) this.#delivered.delete(id);
  }

  /** Checks again whether waiting jobs fit. */
  reconsider(): void {
    if (this.#starting) {
      this.#startAgain = true;
      return;
    }
    this.#starting = true;
    try {
      do {
        this.#startAgain = false;
        if (!this.#closing) this.#pending.startFitting((job) => this.#tryStart(ensure(this.#delivered.get(job.id), "delivered job")));
      } while (this.#startAgain);
    } finally {
      this.#starting = false;
    }
  }

  /** Accepts no more jobs, returns the waiting ones to the queue, aborts the running ones and waits for their end. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker.pause(true);
    const running: Promise<Outcome>[] = [];
    for (const entry of this.#delivered.values()) {
      if (entry.state === "running") {
        entry.controller.abort(releasedError(entry.job.id));
        running.push(entry.outcome);
      } else if (!isSettled(entry)) this.#settle(entry, { kind: "released" });
    }
    await Promise.all(running);
    const closed = this.#worker.close();
    // If Redis is unreachable, the jobs cannot be returned to the queue; their locks expire instead.
    await withTimeout(closed, this.#store.timeoutMs, () => new Error("timeout")).catch(() => undefined);
    this.#connection.disconnect();
  }

  async #deliver(bull: BullJob<StoredJob, JsonValue>, token: string): Promise<JsonValue> {
    const id = ensure(bull.id, "job id");
    const outcome = await (this.#delivered.get(id) ?? this.#arrive(id, bull)).outcome;
    switch (outcome.kind) {
      case "done":
        return outcome.result;
      case "failed":
        throw new UnrecoverableError(JSON.stringify(outcome.error));
      case "released":
        await bull.moveToWait(token);
        throw new WaitingError();
    }
  }

  #arrive(id: string, bull: BullJob<StoredJob, JsonValue>): DeliveredJob {
    let settle: (outcome: Outcome) => void = () => undefined;
    const outcome = new Promise<Outcome>((resolve) => {
      settle = resolve;
    });
    const entry: DeliveredJob = {
      job: jobOf(bull),
      bull,
      controller: new AbortController(),
      outcome,
      settle,
      state: "arriving",
      startedAt: undefined,
    };
    this.#delivered.set(id, entry);
    void this.#admit(entry);
    return entry;
  }

  async #admit(entry: DeliveredJob): Promise<void> {
    const { id } = entry.job;
    let cancelled = false;
    try {
      cancelled = await this.#options.isCancelled(id);
    } catch (error) {
      // Redis is unreachable. `cancel` finds the job in the pending queue.
      this.#options.onError(error instanceof Error ? error : new Error(String(error)));
    }
    if (entry.state !== "arriving") return;
    if (this.#closing) return this.#settle(entry, { kind: "released" });
    if (cancelled) return this.#settle(entry, { kind: "failed", error: cancelledError(id) });
    entry.state = "waiting";
    this.#pending.add(entry.job);
    this.reconsider();
  }

  #tryStart(entry: DeliveredJob): boolean {
    assert(entry.state === "waiting", "a job in the pending queue waits", entry.job.id);
    try {
      const work = this.#options.start(entry.job, entry.controller.signal);
      if (work === undefined) return false;
      void this.#run(entry, work);
    } catch (error) {
      this.#settle(entry, { kind: "failed", error: jobError(entry.job.id, error) });
    }
    return true;
  }

  async #run(entry: DeliveredJob, work: () => Promise<JsonValue>): Promise<void> {
    const { job, bull, controller } = entry;
    entry.state = "running";
    entry.startedAt = Date.now();
    // Other processes that list jobs read it; this one has it in `entry`.
    bull.updateProgress({ startedAt: entry.startedAt }).catch(this.#options.onError);
    try {
      this.#settle(entry, { kind: "done", result: await work() });
    } catch (error) {
      const { reason } = controller.signal as { reason: unknown };
      if (!controller.signal.aborted) this.#settle(entry, { kind: "failed", error: jobError(job.id, error) });
      else if (reason instanceof LapidaryError && reason.code === "LAP_JOB_RELEASED") this.#settle(entry, { kind: "released" });
      else this.#settle(entry, { kind: "failed", error: cancelledError(job.id) });
    }
    this.reconsider();
  }

  #settle(entry: DeliveredJob, outcome: Outcome): void {
    this.#pending.remove(entry.job.id);
    entry.state = outcome;
    entry.settle(outcome);
    if (outcome.kind === "released") this.#delivered.delete(entry.job.id);
    let surplus = this.#delivered.size - maxSettled;
    for (const [id, other] of this.#delivered) {
      if (surplus <= 0) return;
      if (!isSettled(other)) continue;
      this.#delivered.delete(id);
      surplus--;
    }
  }
}

function isSettled(entry: DeliveredJob): boolean {
  return typeof entry.state === "object";
}

/** The abort reason of a running job when the coordinator closes and the job is to continue later. */
function releasedError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_RELEASED",
    message: `job ${id} was returned to the queue: the coordinator is shutting down`,
    location: id,
    remedy: "start the coordinator again; the job then continues",
  });
}

export function jobOf(bull: BullJob<StoredJob, JsonValue>): Job {
  const { name, priority, payload, sequence } = bull.data;
  return { id: ensure(bull.id, "job id"), name, priority, payload, sequence, submittedAt: bull.timestamp };
}
