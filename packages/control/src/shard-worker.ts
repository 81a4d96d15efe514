import { randomUUID } from "node:crypto";
import type { JsonValue, LapidaryError } from "@lapidary/std";
import { UnrecoverableError, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { jobError } from "./job.js";
import { defaultShardQueue } from "./shard-queue.js";
import { type Store, withTimeout } from "./store.js";

export interface ShardWorkerOptions {
  /** Default `shards`. */
  readonly queue?: string;
  /** Tasks that are computed at a time. */
  readonly capacity: number;
  /**
   * Computes a task in another process: this one must renew the locks of its jobs. A task may be given to two workers, if the lock of one expired.
   *
   * @param slot 0 to capacity − 1; calls with the same slot do not overlap
   */
  readonly run: (id: string, payload: JsonValue, slot: number) => Promise<JsonValue>;
  /** Lifetime of a lock. After a worker is killed, another one gets its tasks once this time passed. Default 10000. */
  readonly lockMs?: number;
  readonly onError: (error: Error) => void;
}

/** The interval at which a worker reports that it is alive. It counts as gone after three intervals without a report. */
const heartbeat_ms = 1000;

/** Takes jobs of a shard queue until it is closed. */
export class ShardWorker {
  readonly #store: Store;
  readonly #connection: Redis;
  readonly #worker: Worker<JsonValue, JsonValue>;
  readonly #id = randomUUID();
  readonly #heartbeat: NodeJS.Timeout;

  constructor(store: Store, { queue = defaultShardQueue, capacity, run, lockMs = 10_000, onError }: ShardWorkerOptions) {
    this.#store = store;
    this.#connection = store.blockingConnection();
    const free = Array.from({ length: capacity }, (_, slot) => slot);
    this.#worker = new Worker<JsonValue, JsonValue>(
      queue,
      async ({ id = "", data }) => {
        const slot = free.pop() ?? 0;
        try {
          return await run(id, data, slot);
        } catch (error) {
          const failure = jobError(id, error);
          throw mayPass(failure) ? new Error(JSON.stringify(failure)) : new UnrecoverableError(JSON.stringify(failure));
        } finally {
          free.push(slot);
        }
      },
      {
        connection: this.#connection,
        prefix: store.namespace,
        concurrency: capacity,
        lockDuration: lockMs,
        stalledInterval: Math.ceil(lockMs / 4),
        // A worker that is killed says nothing about its tasks: they compute in other processes.
        maxStalledCount: Number.MAX_SAFE_INTEGER,
        drainDelay: 2,
        runRetryDelay: 500,
        skipVersionCheck: true,
      },
    );
    this.#worker.on("error", onError);
    const announce = (): void => {
      this.#announce(capacity).catch(onError);
    };
    announce();
    this.#heartbeat = setInterval(announce, heartbeat_ms);
  }

  /** Takes no more jobs. The running ones go to other workers once their locks expire. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    const { timeoutMs } = this.#store;
    await withTimeout(this.#worker.close(true), timeoutMs, () => new Error("timeout")).catch(() => undefined);
    await this.#store.run((redis) => redis.del(this.#store.key("shard-worker", this.#id))).catch(() => undefined);
    this.#connection.disconnect();
  }

  async #announce(capacity: number): Promise<void> {
    await this.#store.run((redis) =>
      redis
        .multi()
        .sadd(this.#store.key("shard-workers"), this.#id)
        .set(this.#store.key("shard-worker", this.#id), capacity, "PX", 3 * heartbeat_ms)
        .exec(),
    );
  }
}

/** Errors of disks and networks. A mistake in a pipeline or a damaged input stays. */
const mayPass = ({ code }: LapidaryError): boolean => code.startsWith("LAP_FILE_") || code === "LAP_DATA_REMOTE";
