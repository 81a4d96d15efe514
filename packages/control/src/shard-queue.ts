import type { JsonValue, LapidaryError } from "@lapidary/std";
import { Queue } from "bullmq";
import { errorFromReason } from "./job.js";
import type { Store } from "./store.js";

/** A task for any worker: a pointer to what is to be computed. The store of outputs has the truth. */
export interface ShardJob {
  /** The key of the output. Jobs with equal ids are one job. */
  readonly id: string;
  readonly payload: JsonValue;
}

/** Where a job is. It is absent if it was never added, or if Redis lost its data. */
export type ShardJobState =
  | { readonly kind: "absent" | "pending" }
  | { readonly kind: "done"; readonly result: JsonValue }
  | { readonly kind: "failed"; readonly error: LapidaryError };

export interface ShardQueueOptions {
  /** Default `shards`. */
  readonly name?: string;
  readonly onError: (error: Error) => void;
}

/** Attempts of a job whose failure may pass, such as an error of a disk, and the first pause between two of them, which doubles. */
const attempts = 3;
const firstPause_ms = 500;

/** Finished jobs stay so long, for planners that ask later. */
const keptSeconds = 3600;

export const defaultShardQueue = "shards";

// NAMESPACE:shards:*            BullMQ's keys
// NAMESPACE:shard-workers       set: ids of workers
// NAMESPACE:shard-worker:ID     tasks that the worker computes at a time; expires

/** The side of the queue that adds jobs. The caller bounds their number, because all are in the memory of Redis. */
export class ShardQueue {
  readonly #store: Store;
  readonly #queue: Queue<JsonValue, JsonValue, string>;

  constructor(store: Store, { name = defaultShardQueue, onError }: ShardQueueOptions) {
    this.#store = store;
    this.#queue = new Queue<JsonValue, JsonValue, string>(name, {
      connection: store.connection,
      prefix: store.namespace,
      skipVersionCheck: true,
    });
    this.#queue.on("error", onError);
  }

  /** Adds a job. One that is pending stays; one that finished runs again. */
  async add({ id, payload }: ShardJob): Promise<void> {
    const finished = { age: keptSeconds, count: 10_000 };
    await this.#store.run(async () => {
      const found = await this.#queue.getJob(id);
      if (found?.finishedOn !== undefined) await found.remove();
      await this.#queue.add("shard", payload, {
        jobId: id,
        attempts,
        backoff: { type: "exponential", delay: firstPause_ms },
        removeOnComplete: finished,
        removeOnFail: finished,
      });
    });
  }

  async stateOf(id: string): Promise<ShardJobState> {
    const job = await this.#store.run(() => this.#queue.getJob(id));
    if (job === undefined) return { kind: "absent" };
    if (job.finishedOn === undefined) return { kind: "pending" };
    return job.failedReason === undefined
      ? { kind: "done", result: job.returnvalue }
      : { kind: "failed", error: errorFromReason(id, job.failedReason) };
  }

  /** Removes a job, unless a worker has it. */
  async remove(id: string): Promise<void> {
    await this.#store.run(() => this.#queue.remove(id));
  }

  /** The tasks that all workers together compute at a time. */
  async capacity(): Promise<number> {
    return this.#store.run(async (redis) => {
      const ids = await redis.smembers(this.#store.key("shard-workers"));
      const capacities = await Promise.all(ids.map((id) => redis.get(this.#store.key("shard-worker", id))));
      const gone = ids.filter((_, i) => capacities[i] === null);
      if (gone.length > 0) await redis.srem(this.#store.key("shard-workers"), ...gone);
      return capacities.reduce((sum, capacity) => sum + Number(capacity ?? 0), 0);
    });
  }

  close(): Promise<void> {
    return this.#queue.close();
  }
}
