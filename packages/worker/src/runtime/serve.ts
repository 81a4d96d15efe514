import type { Channel } from "@lapidary/fabric";
import type { JsonValue } from "@lapidary/std";
import type { Envelope, WorkerAnswer, WorkerMessage } from "../protocol.js";
import { asLapidaryError, overtakenCode, overtakenError } from "./errors.js";
import type { Answer, Worker } from "./worker.js";

export interface ServeOptions {
  /** Hears of every message that failed. */
  readonly onError?: (kind: string, error: unknown) => void;
}

/** Messages that end a run, or begin another attempt of it: what still waits before them is of no use any more. */
const endsRun = ({ kind }: WorkerMessage): boolean => kind === "reset" || kind === "configure" || kind === "shutdown";

/**
 * Executes what comes through a channel, in order, and answers in order, until it closes or a `shutdown` was answered. A message that ends the
 * run does not wait for the run: whatever stands before it fails at once.
 */
export async function serve(channel: Channel, worker: Worker, options: ServeOptions = {}): Promise<void> {
  const queue: { readonly message: Envelope; readonly payload: Uint8Array<ArrayBuffer>; isVoid: boolean }[] = [];
  let wake: () => void = () => undefined;
  let closed = false;
  channel.onMessage((header, payload) => {
    const message = header as unknown as Envelope;
    if (endsRun(message)) {
      worker.interrupt(overtakenError(message.kind));
      for (const waiting of queue) waiting.isVoid = !endsRun(waiting.message);
    }
    queue.push({ message, payload, isVoid: false });
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
    const { message, payload, isVoid } = next;
    await answer(
      channel,
      message,
      () => (isVoid ? Promise.reject(overtakenError("the end of its run")) : worker.execute(message, payload)),
      options,
    );
    worker.answered(message);
    if (message.kind === "shutdown") {
      await channel.close();
      return;
    }
  }
}

async function answer(channel: Channel, message: Envelope, execute: () => Promise<Answer>, options: ServeOptions): Promise<void> {
  let said: WorkerAnswer;
  let parts: Uint8Array[] = [];
  try {
    const { reply, payload } = await execute();
    said = { kind: "reply", id: message.id, reply: reply as unknown as JsonValue };
    if (payload !== undefined) parts = [payload];
  } catch (error) {
    const failure = asLapidaryError(error);
    if (failure.code !== overtakenCode) options.onError?.(message.kind, error);
    said = { kind: "error", id: message.id, error: failure.toJSON() };
  }
  if (channel.isOpen) channel.send(said as unknown as JsonValue, parts);
}
