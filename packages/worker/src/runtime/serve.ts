import type { Channel } from "@lapidary/fabric";
import type { JsonValue } from "@lapidary/std";
import type { Envelope, WorkerAnswer } from "../protocol.js";
import { asLapidaryError, messageError } from "./errors.js";
import type { Worker } from "./worker.js";

export interface ServeOptions {
  /** Hears of every message that failed. */
  readonly onError?: (kind: string, error: unknown) => void;
}

/**
 * Executes what comes through a channel, in order, and answers in order, until it closes or a `shutdown` was answered. A message that ends the
 * run makes what waits for peers fail at once, so that it gets its turn.
 */
export async function serve(channel: Channel, worker: Worker, options: ServeOptions = {}): Promise<void> {
  const queue: { readonly message: Envelope; readonly payload: Uint8Array<ArrayBuffer> }[] = [];
  let wake: () => void = () => undefined;
  let closed = false;
  channel.onMessage((header, payload) => {
    const message = header as unknown as Envelope;
    if (message.kind === "reset" || message.kind === "configure" || message.kind === "shutdown") worker.interrupt(messageError(`${message.kind} came while the worker waited for its peers`));
    queue.push({ message, payload });
    wake();
  });
  void channel.closed.then(() => {
    closed = true;
    wake();
  });
  for (;;) {
    const next = queue.shift();
    if (next === undefined) {
      if (closed) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (queue.length > 0 || closed) resolve();
      });
      continue;
    }
    const { message, payload } = next;
    await answer(channel, worker, message, payload, options);
    if (message.kind === "shutdown") {
      await channel.close();
      return;
    }
  }
}

async function answer(channel: Channel, worker: Worker, message: Envelope, payload: Uint8Array, options: ServeOptions): Promise<void> {
  let said: WorkerAnswer;
  let parts: Uint8Array[] = [];
  try {
    const { reply, payload: bytes } = await worker.execute(message, payload);
    said = { kind: "reply", id: message.id, reply: reply as unknown as JsonValue };
    if (bytes !== undefined) parts = [bytes];
  } catch (error) {
    options.onError?.(message.kind, error);
    said = { kind: "error", id: message.id, error: asLapidaryError(error).toJSON() };
  }
  if (channel.isOpen) channel.send(said as unknown as JsonValue, parts);
}
