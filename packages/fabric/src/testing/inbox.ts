import type { JsonValue } from "@lapidary/std";
import type { Channel } from "../channel.js";

export interface Message {
  readonly header: JsonValue;
  readonly payload: Uint8Array<ArrayBuffer>;
}

/** Awaits the messages of a channel one by one. */
export class Inbox {
  readonly #messages: Message[] = [];
  #waiter: ((message: Message) => void) | undefined;

  constructor(channel: Channel) {
    channel.onMessage((header, payload) => {
      const waiter = this.#waiter;
      this.#waiter = undefined;
      if (waiter === undefined) this.#messages.push({ header, payload });
      else waiter({ header, payload });
    });
  }

  next(): Promise<Message> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve) => {
      this.#waiter = resolve;
    });
  }
}

/** `count` pseudo-random bytes: a shifted copy differs. */
export function pattern(count: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
