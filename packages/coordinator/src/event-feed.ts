import { EventStream, type Store } from "@lapidary/control";
import { type JsonValue, asJson } from "@lapidary/std";
import type { StreamEvent } from "@lapidary/api";

/** Maximum number of events that wait while Redis is down. The journals on disk have all events. */
const maxWaiting = 1000;

/**
 * The events of all runs as one Redis stream for other programs: `{ run, id, event, data }`. The feed is not a record:
 * events that Redis does not accept in time are dropped.
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

  /** Sends the waiting events if Redis accepts them. */
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
