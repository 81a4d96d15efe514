import { EventStream, type Store } from "@lapidary/control";
import { type JsonValue, asJson } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";

/** More than this is not kept back for a Redis that is away: the journals on disk have it all. */
const maxWaiting = 1000;

/**
 * The events of all runs as one Redis stream, for programs outside: `{ run, id, event, data }`. It keeps no record:
 * what Redis does not accept in time is dropped.
 */
export class EventFeed {
  readonly #stream: EventStream;
  readonly #waiting: JsonValue[] = [];
  #sending: Promise<void> | undefined;
  #closed = false;

  constructor(
    store: Store,
    private readonly onError: (error: Error) => void,
  ) {
    this.#stream = new EventStream(store, "events");
  }

  publish(run: string, event: StreamEvent): void {
    if (this.#closed || this.#waiting.length >= maxWaiting) return;
    this.#waiting.push(asJson({ run, ...event }));
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  /** Sends what waits, if Redis takes it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#sending;
  }

  async #send(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        await this.#stream.append(next);
      } catch (error) {
        if (this.#closed) return;
        this.onError(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}
