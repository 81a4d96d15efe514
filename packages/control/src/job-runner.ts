import { assert, type JsonValue, LapidaryError, must } from "@lapidary/std";
import { type Job as BullJob, UnrecoverableError, WaitingError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { cancelledError, type Job, jobError, type StoredJob } from "./job.js";
import { type Store, within } from "./store.js";
import { WaitingLine } from "./waiting-line.js";

/** What became of a job in hand. */
export type Outcome =
  | { readonly kind: "done"; readonly result: JsonValue }
  | { readonly kind: "failed"; readonly error: LapidaryError }
  /** Given back to the queue, for whoever runs jobs next. */
  | { readonly kind: "released" };

export interface JobRunnerOptions {
  readonly queue: string;
  /** The work of a job if it can start now, undefined if it must wait; throws if it never can. */
  readonly begin: (job: Job, signal: AbortSignal) => (() => Promise<JsonValue>) | undefined;
  /** Whether it was decided, maybe by an earlier process, that the job is not to run. */
  readonly isCancelled: (id: string) => Promise<boolean>;
  /** The outcome of the job is in Redis. */
  readonly onFinished: (id: string) => void;
  readonly lockMs: number;
  readonly maxOvertakes: number | undefined;
  readonly onTrouble: (error: Error) => void;
}

/** A job that BullMQ delivered to this process. */
interface InHand {
  readonly job: Job;
  readonly bull: BullJob<StoredJob, JsonValue>;
  readonly controller: AbortController;
  readonly outcome: Promise<Outcome>;
  readonly settle: (outcome: Outcome) => void;
  state: "arriving" | "waiting" | "running" | Outcome;
  startedAt: number | undefined;
}

/** More jobs than anyone waits with; those beyond stay in BullMQ's own queue, in the order of their priority. */
const mostInHand = 10_000;

/** Settled jobs are remembered for a late second delivery; more than this many are not. */
const mostSettled = 1000;

/**
 * Takes every job out of BullMQ as it comes, keeps it in a line, and runs it when it fits.
 *
 *   BullMQ (waiting) ──deliver──► line ──begin──► run ──► outcome ──► BullMQ (completed, failed)
 *                      │                                    ▲
 *                      └── delivered again: join ───────────┘
 *
 * BullMQ delivers at least once: when this process is too busy to renew a lock, or Redis was away, it delivers a job again
 * that is already in hand. Such a delivery joins the first, so a job never runs twice in one process. Between processes only
 * the epoch of a lease prevents it.
 */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #store: Store;
  readonly #connection: Redis;
  readonly #worker: Worker<StoredJob, JsonValue>;
  readonly #line: WaitingLine<Job>;
  readonly #inHand = new Map<string, InHand>();
  #closing = false;
  #offering = false;
  #offerAgain = false;

  constructor(store: Store, options: JobRunnerOptions) {
    this.#store = store;
    this.#options = options;
    this.#line = new WaitingLine(options.maxOvertakes);
    this.#connection = store.patientDuplicate();
    this.#worker = new Worker<StoredJob, JsonValue>(options.queue, (bull, token) => this.#deliver(bull, must(token, "token")), {
      connection: this.#connection,
      prefix: store.namespace,
      concurrency: mostInHand,
      lockDuration: options.lockMs,
      stalledInterval: Math.ceil(options.lockMs / 4),
      // A job may outlive any number of coordinators; whether it gets anywhere is for the coordinator to judge.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 2,
      runRetryDelay: 500,
      skipVersionCheck: true,
    });
    this.#worker.on("error", options.onTrouble);
    this.#worker.on("completed", ({ id }) => options.onFinished(must(id, "job id")));
    this.#worker.on("failed", (bull) => bull?.id !== undefined && options.onFinished(bull.id));
  }

  /** What this process knows of the job; undefined when it is not in hand. */
  stateOf(id: string): InHand["state"] | undefined {
    return this.#inHand.get(id)?.state;
  }

  startedAt(id: string): number | undefined {
    return this.#inHand.get(id)?.startedAt;
  }

  /** Ends the wait of a waiting job; asks a running one to end. */
  cancel(id: string): void {
    const entry = this.#inHand.get(id);
    if (entry === undefined) return;
    const error = cancelledError(id);
    if (entry.state === "running") entry.controller.abort(error);
    else this.#settle(entry, { kind: "failed", error });
  }

  /** Forgets how the job ended, so that it may run again. */
  forget(id: string): void {
    const entry = this.#inHand.get(id);
    if (entry !== undefined && isSettled(entry)) this.#inHand.delete(id);
  }

  /** Looks again whether waiting jobs fit. */
  reconsider(): void {
    if (this.#offering) {
      this.#offerAgain = true;
      return;
    }
    this.#offering = true;
    try {
      do {
        this.#offerAgain = false;
        if (!this.#closing) this.#line.offer((job) => this.#tryBegin(must(this.#inHand.get(job.id), "job in hand")));
      } while (this.#offerAgain);
    } finally {
      this.#offering = false;
    }
  }

  /** Takes no more jobs, gives the waiting ones back, asks the running ones to end, and waits for them. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker.pause(true);
    const running: Promise<Outcome>[] = [];
    for (const entry of this.#inHand.values()) {
      if (entry.state === "running") {
        entry.controller.abort(releasedError(entry.job.id));
        running.push(entry.outcome);
      } else if (!isSettled(entry)) this.#settle(entry, { kind: "released" });
    }
    await Promise.all(running);
    const closed = this.#worker.close();
    // Without Redis the jobs cannot be given back; their locks run out instead.
    await within(closed, this.#store.timeoutMs, () => new Error("late")).catch(() => undefined);
    this.#connection.disconnect();
  }

  async #deliver(bull: BullJob<StoredJob, JsonValue>, token: string): Promise<JsonValue> {
    const id = must(bull.id, "job id");
    const outcome = await (this.#inHand.get(id) ?? this.#arrive(id, bull)).outcome;
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

  #arrive(id: string, bull: BullJob<StoredJob, JsonValue>): InHand {
    let settle: (outcome: Outcome) => void = () => undefined;
    const outcome = new Promise<Outcome>((resolve) => {
      settle = resolve;
    });
    const entry: InHand = {
      job: jobOf(bull),
      bull,
      controller: new AbortController(),
      outcome,
      settle,
      state: "arriving",
      startedAt: undefined,
    };
    this.#inHand.set(id, entry);
    void this.#admit(entry);
    return entry;
  }

  async #admit(entry: InHand): Promise<void> {
    const { id } = entry.job;
    let cancelled = false;
    try {
      cancelled = await this.#options.isCancelled(id);
    } catch (error) {
      // Redis went away just now. Whoever cancelled it meanwhile finds it in the line.
      this.#options.onTrouble(error instanceof Error ? error : new Error(String(error)));
    }
    if (entry.state !== "arriving") return;
    if (this.#closing) return this.#settle(entry, { kind: "released" });
    if (cancelled) return this.#settle(entry, { kind: "failed", error: cancelledError(id) });
    entry.state = "waiting";
    this.#line.add(entry.job);
    this.reconsider();
  }

  #tryBegin(entry: InHand): boolean {
    assert(entry.state === "waiting", "a job in the line waits", entry.job.id);
    try {
      const work = this.#options.begin(entry.job, entry.controller.signal);
      if (work === undefined) return false;
      void this.#run(entry, work);
    } catch (error) {
      this.#settle(entry, { kind: "failed", error: jobError(entry.job.id, error) });
    }
    return true;
  }

  async #run(entry: InHand, work: () => Promise<JsonValue>): Promise<void> {
    const { job, bull, controller } = entry;
    entry.state = "running";
    entry.startedAt = Date.now();
    // For other processes that list jobs; this one knows.
    bull.updateProgress({ startedAt: entry.startedAt }).catch(this.#options.onTrouble);
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

  #settle(entry: InHand, outcome: Outcome): void {
    this.#line.remove(entry.job.id);
    entry.state = outcome;
    entry.settle(outcome);
    if (outcome.kind === "released") this.#inHand.delete(entry.job.id);
    let surplus = this.#inHand.size - mostSettled;
    for (const [id, other] of this.#inHand) {
      if (surplus <= 0) return;
      if (!isSettled(other)) continue;
      this.#inHand.delete(id);
      surplus--;
    }
  }
}

function isSettled(entry: InHand): boolean {
  return typeof entry.state === "object";
}

/** The reason that the signal of a running job carries when the coordinator ends and the job shall go on later. */
export function releasedError(id: string): LapidaryError {
  return new LapidaryError({
    code: "LAP_JOB_RELEASED",
    message: `job ${id} is given back to the queue: the coordinator ends`,
    place: id,
    remedy: "it goes on when the coordinator starts again",
  });
}

export function jobOf(bull: BullJob<StoredJob, JsonValue>): Job {
  const { name, priority, payload, sequence } = bull.data;
  return { id: must(bull.id, "job id"), name, priority, payload, sequence, submittedAt: bull.timestamp };
}
