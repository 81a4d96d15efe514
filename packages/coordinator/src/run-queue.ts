import { type JobHandlers, JobQueue, type Store } from "@lapidary/control";
import { LapidaryError } from "@lapidary/std";
import type { Run, RunStore } from "@lapidary/telemetry";
import { errorFields } from "./coordinator-errors.js";
import type { Log } from "./log.js";
import { endByNeeds, NeedWaiters, unfinishedNeeds } from "./needs.js";

/** What the coordinator does with the runs that the queue delivers. */
export type RunHandlers<T> = Omit<JobHandlers<T>, "awaitNeed">;

interface RunQueueOptions {
  readonly runs: RunStore;
  readonly log: Log;
  readonly onError: (error: Error) => void;
  /** Ends a run whose needs ended without success. It calls `continueAfter`. */
  readonly end: (run: Run, state: "failed" | "cancelled", error: LapidaryError) => void;
}

/**
 * The queue of the runs that wait for their needs or for chips.
 *
 * Invariants
 * - the files of the runs decide which runs wait; Redis has only their order, and `refill` adds what Redis lost;
 * - a run enters the queue again under the same id, so that Redis has it once.
 */
export class RunQueue {
  readonly #options: RunQueueOptions;
  readonly #queue: JobQueue;
  readonly #waiters = new NeedWaiters();
  #isClosed = false;

  constructor(store: Store, options: RunQueueOptions) {
    this.#options = options;
    this.#queue = new JobQueue(store, { onError: options.onError });
  }

  /** Starts to deliver runs. */
  start<T>(handlers: RunHandlers<T>): void {
    this.#queue.onJob({ ...handlers, awaitNeed: (need, id) => this.#awaitNeed(need, id) });
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#queue.close();
  }

  /** A run that is in the queue does not change. */
  async enqueue(run: Run): Promise<void> {
    const { queueId: id } = run;
    const needs = unfinishedNeeds(run, this.#options.runs);
    await this.#queue.submit({ id, name: id, priority: run.identity.priority, payload: { run: run.id }, needs });
  }

  /** Adds the runs that wait on disk and that Redis may have lost. */
  async refill(): Promise<void> {
    for (const run of this.#options.runs.all()) {
      if (this.#isClosed) return;
      // A need may have ended just before an earlier coordinator was killed.
      if (run.state === "queued" && run.needs.length > 0) this.#checkNeeds(run);
      if (run.state === "queued") await this.enqueue(run);
    }
  }

  /** Continues the runs that need a run which has ended: each waits for its other needs, enters the queue, or ends with an error. */
  continueAfter(ended: Run): void {
    const { runs, log } = this.#options;
    for (const run of runs.all()) {
      if (run.state !== "queued" || !run.needs.includes(ended.id)) continue;
      this.#checkNeeds(run);
      // If Redis lost the waiting job, it is added again.
      if (run.state === "queued" && !this.#isClosed)
        void this.enqueue(run).catch((error: unknown) =>
          log.error("a waiting job could not be added to the queue again", { job: run.id, ...errorFields(error) }),
        );
    }
    this.#waiters.notify(ended.id);
  }

  /** Removes a waiting run. @returns whether the run was waiting */
  async leave(run: Run): Promise<boolean> {
    try {
      return (await this.#queue.cancel(run.queueId)).state === "cancelled";
    } catch (error) {
      // If the queue lost the job, it will not start the job either.
      if (error instanceof LapidaryError && error.code === "LAP_JOB_UNKNOWN") return true;
      throw error;
    }
  }

  /** Records what a waiting run waits for. If a need ended without success, the run ends too. */
  #checkNeeds(run: Run): void {
    const { runs, end } = this.#options;
    const ending = endByNeeds(run, runs);
    if (ending === undefined) run.waitFor(unfinishedNeeds(run, runs));
    else end(run, ending.state, ending.error);
  }

  /** Resolves when a need has ended, or when the run with this id in the queue does not wait any more. */
  async #awaitNeed(need: string, queueId: string): Promise<void> {
    const { runs } = this.#options;
    for (;;) {
      const run = runs.all().find((each) => each.queueId === queueId && each.state === "queued");
      if (run === undefined || !unfinishedNeeds(run, runs).includes(need)) return;
      await Promise.race([this.#waiters.next(need), run.settled]);
    }
  }
}
