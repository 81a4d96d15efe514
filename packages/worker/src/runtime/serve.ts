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
import { asLapidaryError, supersededError } from "./errors.js";
import type { Answer, Worker } from "./worker.js";

export interface ServeOptions {
  /** Called for every message that failed. */
  readonly onError?: (kind: string, error: unknown) => void;
}

/** Messages that end a run or start its next attempt. The messages before them are superseded. */
const endsRun = ({ kind }: WorkerMessage): boolean => kind === "reset" || kind === "configure" || kind === "shutdown";

/**
 * Executes the messages of a channel and answers them, both in their order, until the channel closes or a `shutdown` is answered. A message that ends
 * the run does not wait for the run: all messages before it fail immediately.
 *
 * When the channel closes, the coordinator can commit no further step, and all workers have answered every committed step. So the worker neither starts
 * a step nor waits for one. It does execute the messages before the next step, because one of them may replicate a committed step.
 */
export async function serve(channel: Channel, worker: Worker, options: ServeOptions = {}): Promise<void> {
  const queue: { readonly message: Envelope; readonly payload: Uint8Array<ArrayBuffer>; isSuperseded: boolean }[] = [];
  let executing: Envelope | undefined;
  let wake: () => void = () => undefined;
  let closed = false;
  const coordinator = coordinatorPeer(channel.peerHello);
  channel.onMessage((header, payload) => {
    const message = received(channel, header, coordinator, options);
    if (message === undefined) return;
    if (endsRun(message)) {
      worker.interrupt(supersededError(message.kind));
      for (const waiting of queue) waiting.isSuperseded = !endsRun(waiting.message);
    }
    queue.push({ message, payload, isSuperseded: false });
    wake();
  });
  void channel.closed.then(() => {
    closed = true;
    const runs = executing?.kind === "run";
    if (runs) worker.leavePeers();
    const next = runs ? 0 : queue.findIndex(({ message }) => message.kind === "run");
    if (next >= 0) for (const waiting of queue.slice(next)) waiting.isSuperseded = true;
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
    const { message, payload, isSuperseded } = next;
    executing = message;
    await answer(
      channel,
      message,
      () => (isSuperseded ? Promise.reject(supersededError("the end of its run")) : worker.execute(message, payload)),
      options,
    );
    executing = undefined;
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
  let outgoing: WorkerAnswer;
  let parts: Uint8Array[] = [];
  try {
    const { reply, payload } = await execute();
    outgoing = { kind: "reply", id: message.id, reply: encodeReply(reply) };
    if (payload !== undefined) parts = [payload];
  } catch (error) {
    const failure =
      error instanceof DecodeFailure
        ? malformedError(coordinatorPeer(channel.peerHello), `${message.kind} message`, error)
        : asLapidaryError(error);
    // A superseded message is not a failure.
    if (failure.code !== "LAP_WORKER_OVERTAKEN" && channel.isOpen) options.onError?.(message.kind, error);
    outgoing = { kind: "error", id: message.id, error: failure.toJSON() };
  }
  if (channel.isOpen) channel.send(encodeAnswer(outgoing), parts);
}
