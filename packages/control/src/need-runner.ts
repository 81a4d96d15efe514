import { ensure } from "@lapidary/std";
import { type Job as BullJob, WaitingError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { type Store, withTimeout } from "./store.js";

/** The data of the BullMQ job that keeps a job waiting for one of its needs. */
export interface StoredNeed {
  /** The id of the waiting job. */
  readonly job: string;
  /** What the job waits for. The caller of the queue chooses the text. */
  readonly need: string;
}

export interface NeedRunnerOptions {
  readonly queue: string;
  /** Resolves when the need has ended, or when the job does not wait any more. */
  readonly awaitNeed: (stored: StoredNeed) => Promise<void>;
  readonly lockMs: number;
  readonly onError: (error: Error) => void;
}

/** More needs than a coordinator has; each of them only waits. */
const maxActive = 10_000;

/**
 * Completes the needs of waiting jobs. In BullMQ, a job with needs is the parent of a flow, and each need is a child:
 *
 *     jobs-needs   need of b: a ──(a ended)──► completed ─┐
 *     jobs         b (waiting-children) ◄─────────────────┘ all needs completed ──► waiting ──► JobRunner
 *
 * A need is completed whether its run succeeded or not. The handler that places the job decides what follows. A need has no effect of its own, so it
 * may be delivered any number of times.
 */
export class NeedRunner {
  readonly #options: NeedRunnerOptions;
  readonly #timeoutMs: number;
  readonly #connection: Redis;
  readonly #worker: Worker<StoredNeed, null>;
  readonly #active = new Set<Promise<null>>();
  #release: () => void = () => undefined;
  readonly #released = new Promise<"released">((resolve) => {
    this.#release = () => resolve("released");
  });

  constructor(store: Store, options: NeedRunnerOptions) {
    this.#options = options;
    this.#timeoutMs = store.timeoutMs;
    this.#connection = store.blockingConnection();
    this.#worker = new Worker<StoredNeed, null>(options.queue, (bull, token) => this.#track(this.#deliver(bull, ensure(token, "token"))), {
      connection: this.#connection,
      prefix: store.namespace,
      concurrency: maxActive,
      lockDuration: options.lockMs,
      stalledInterval: Math.ceil(options.lockMs / 4),
      // A need may outlive any number of coordinators.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: 2,
      runRetryDelay: 500,
      skipVersionCheck: true,
    });
    this.#worker.on("error", options.onError);
  }

  /** Returns the needs to the queue: the next coordinator gets them. */
  async close(): Promise<void> {
    await this.#worker.pause(true);
    this.#release();
    // If Redis is unreachable, the locks expire instead.
    await withTimeout(Promise.allSettled(this.#active), this.#timeoutMs, () => new Error("timeout")).catch(() => undefined);
    // Without `force`, BullMQ would wait for an unreachable Redis and renew locks until then.
    await withTimeout(this.#worker.close(true), this.#timeoutMs, () => new Error("timeout")).catch(() => undefined);
    this.#connection.disconnect();
  }

  #track(delivery: Promise<null>): Promise<null> {
    this.#active.add(delivery);
    void delivery.catch(() => undefined).then(() => this.#active.delete(delivery));
    return delivery;
  }

  async #deliver(bull: BullJob<StoredNeed, null>, token: string): Promise<null> {
    const ended = this.#options.awaitNeed(bull.data).catch((error: unknown) => {
      // The handler that places the job finds the cause.
      this.#options.onError(error instanceof Error ? error : new Error(String(error)));
    });
    if ((await Promise.race([ended, this.#released])) !== "released") return null;
    await bull.moveToWait(token);
    throw new WaitingError();
  }
}
