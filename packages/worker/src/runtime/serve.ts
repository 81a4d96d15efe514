import type { Channel } from "@lapidary/fabric";
import {
  DecodeFailure,
  type Envelope,
  type Peer,
  type WorkerAnswer,
  type WorkerMessage,
  coordinatorPeer,
  decodeMessage,
  encodeAnswer,
  encodeReply,
  idOfMalformed,
  malformedError,
} from "@lapidary/protocol";
import { type JsonValue, LapidaryError } from "@lapidary/std";
import { asLapidaryError, overtakenError } from "./errors.js";
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
 *
 * When the channel closes, whoever was at its other end cannot count a step any more that it has not counted yet, and all that it has counted were answered
 * by all workers. So no step is begun or waited for; but what stands before the next one is done, as it may be the copy of a step that counts.
 */
export async function serve(channel: Channel, worker: Worker, options: ServeOptions = {}): Promise<void> {
  const queue: { readonly message: Envelope; readonly payload: Uint8Array<ArrayBuffer>; isVoid: boolean }[] = [];
  let underWay: Envelope | undefined;
  let wake: () => void = () => undefined;
  let closed = false;
  const coordinator = coordinatorPeer(channel.peerHello);
  channel.onMessage((header, payload) => {
    const message = received(channel, header, coordinator, options);
    if (message === undefined) return;
    if (endsRun(message)) {
      worker.interrupt(overtakenError(message.kind));
      for (const waiting of queue) waiting.isVoid = !endsRun(waiting.message);
    }
    queue.push({ message, payload, isVoid: false });
    wake();
  });
  void channel.closed.then(() => {
    closed = true;
    const runs = underWay?.kind === "run";
    if (runs) worker.part();
    const next = runs ? 0 : queue.findIndex(({ message }) => message.kind === "run");
    if (next >= 0) for (const waiting of queue.slice(next)) waiting.isVoid = true;
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
    underWay = message;
    await answer(
      channel,
      message,
      () => (isVoid ? Promise.reject(overtakenError("the end of its run")) : worker.execute(message, payload)),
      options,
    );
    underWay = undefined;
    worker.answered(message);
    if (message.kind === "shutdown") {
      await channel.close();
      return;
    }
  }
}

/**
 * The message in a header. If it is malformed but has a number, the worker answers with the error.
 *
 * @throws LAP_PROTOCOL_MALFORMED if it has no number: the channel closes
 */
function received(channel: Channel, header: JsonValue, from: Peer, options: ServeOptions): Envelope | undefined {
  try {
    return decodeMessage(header, from);
  } catch (error) {
    const id = idOfMalformed(header);
    if (!(error instanceof LapidaryError) || id === undefined) throw error;
    options.onError?.("message", error);
    if (channel.isOpen) channel.send(encodeAnswer({ kind: "error", id, error: error.toJSON() }));
    return undefined;
  }
}

async function answer(channel: Channel, message: Envelope, execute: () => Promise<Answer>, options: ServeOptions): Promise<void> {
  let said: WorkerAnswer;
  let parts: Uint8Array[] = [];
  try {
    const { reply, payload } = await execute();
    said = { kind: "reply", id: message.id, reply: encodeReply(reply) };
    if (payload !== undefined) parts = [payload];
  } catch (error) {
    const failure =
      error instanceof DecodeFailure
        ? malformedError(coordinatorPeer(channel.peerHello), `${message.kind} message`, error)
        : asLapidaryError(error);
    // Who has lost his coordinator gives up what he is at.
    if (failure.code !== "LAP_WORKER_OVERTAKEN" && channel.isOpen) options.onError?.(message.kind, error);
    said = { kind: "error", id: message.id, error: failure.toJSON() };
  }
  if (channel.isOpen) channel.send(encodeAnswer(said), parts);
}
