import { type JsonValue, LapidaryError, jsonText } from "@lapidary/std";
import type { Redis } from "ioredis";
import { explainRedisError } from "./errors.js";
import type { Store } from "./store.js";

/** A value and its id in the stream. Ids grow; a reader resumes after the last id it received (`Last-Event-ID`). */
export interface StreamEntry<T> {
  readonly id: string;
  readonly value: T;
}

export interface EventStreamOptions {
  /** Approximate number of newest entries to keep. Default 10000. */
  readonly maxLength?: number;
}

/** The id before every entry. */
export const streamStart = "0-0";

/** How long one blocking read waits for new entries, and how long `follow` waits before it retries an unreachable server. */
const blockMs = 5000;
const retryMs = 100;

/**
 * A log of JSON values on a Redis stream: events of a run, or its metrics. Old entries are dropped; a caller that needs all
 * entries must store them on disk.
 *
 * @throws LAP_REDIS_UNREACHABLE, LAP_REDIS_FULL from all methods
 */
export class EventStream<T extends JsonValue = JsonValue> {
  readonly #store: Store;
  readonly #key: string;
  readonly #maxLength: number;

  /** @param name of the stream, such as `events:RUN` or `metrics:RUN` */
  constructor(store: Store, name: string, options: EventStreamOptions = {}) {
    this.#store = store;
    this.#key = store.key("stream", name);
    this.#maxLength = options.maxLength ?? 10_000;
  }

  /** Appends one value and returns its id. */
  async append(value: T): Promise<string> {
    const id = await this.#store.run((redis) => redis.xadd(this.#key, "MAXLEN", "~", this.#maxLength, "*", "v", jsonText(value)));
    // XADD returns null only with NOMKSTREAM.
    return id ?? streamStart;
  }

  /** At most `limit` entries after the id `after`, the oldest first. */
  async read(after: string = streamStart, limit = 1000): Promise<StreamEntry<T>[]> {
    checkId(after);
    return entriesOf(await this.#store.run((redis) => redis.xrange(this.#key, `(${after}`, "+", "COUNT", limit)));
  }

  /** The newest `count` entries, the oldest first. */
  async last(count: number): Promise<StreamEntry<T>[]> {
    return entriesOf<T>(await this.#store.run((redis) => redis.xrevrange(this.#key, "+", "-", "COUNT", count))).reverse();
  }

  /**
   * Yields every entry after the id `after`, then each new entry, until `signal` aborts. After an outage of the server it
   * continues by itself; entries dropped in the meantime are missing.
   */
  async *follow(after: string, signal: AbortSignal): AsyncGenerator<StreamEntry<T>, void, undefined> {
    checkId(after);
    const redis = this.#store.duplicate();
    const stop = (): void => redis.disconnect();
    signal.addEventListener("abort", stop, { once: true });
    try {
      let id = after;
      while (!signal.aborted) {
        for (const entry of await this.#next(redis, id, signal)) {
          if (signal.aborted) return;
          id = entry.id;
          yield entry;
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
      redis.disconnect();
    }
  }

  /** Deletes the stream and its entries. */
  async delete(): Promise<void> {
    await this.#store.run((redis) => redis.del(this.#key));
  }

  /** The entries after `id`; empty if none arrives within `blockMs`. */
  async #next(redis: Redis, id: string, signal: AbortSignal): Promise<StreamEntry<T>[]> {
    try {
      const reply = await redis.xread("COUNT", 1000, "BLOCK", blockMs, "STREAMS", this.#key, id);
      return reply === null ? [] : reply.flatMap(([, entries]) => entriesOf<T>(entries));
    } catch (cause) {
      const error = explainRedisError(this.#store.displayAddress, cause);
      if (signal.aborted || redis.status === "end") return [];
      if (!(error instanceof LapidaryError) || error.code !== "LAP_REDIS_UNREACHABLE") throw error;
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      return [];
    }
  }
}

function entriesOf<T extends JsonValue>(raw: readonly (readonly [string, readonly string[]])[]): StreamEntry<T>[] {
  return raw.map(([id, fields]) => ({ id, value: JSON.parse(fields[1] ?? "null") as T }));
}

/** Ids are untrusted input (`Last-Event-ID`). */
function checkId(id: string): void {
  if (/^\d{1,16}(-\d{1,16})?$/.test(id)) return;
  throw new LapidaryError({
    code: "LAP_STREAM_ID",
    message: `invalid event id "${id.slice(0, 40)}"`,
    location: "event id",
  });
}
