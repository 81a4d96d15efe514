import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** A client that sends more requests without waiting for answers is disconnected. */
const maxPipelined = 16;

interface Turns {
  /** Resolves after the last request of the connection. */
  last: Promise<void>;
  pending: number;
}

/** Runs the requests of one connection one after the other, because HTTP/1.1 answers them in this order. */
export class ConnectionTurns {
  readonly #connections = new WeakMap<Socket, Turns>();

  /** Whether a request of the connection has no complete answer. */
  isBusy(socket: Socket): boolean {
    return (this.#connections.get(socket)?.pending ?? 0) > 0;
  }

  /** Runs `work`. Resolves when the answer is sent or the connection is closed. */
  async run(socket: Socket, response: ServerResponse, work: () => Promise<void>): Promise<void> {
    const turns = this.#connections.get(socket) ?? { last: Promise.resolve(), pending: 0 };
    this.#connections.set(socket, turns);
    turns.pending++;
    if (turns.pending > maxPipelined) socket.destroy();
    turns.last = runAfter(turns.last, socket, response, work);
    await turns.last;
    turns.pending--;
  }
}

async function runAfter(before: Promise<void>, socket: Socket, response: ServerResponse, work: () => Promise<void>): Promise<void> {
  await before;
  if (socket.destroyed) return;
  const closed = new Promise<void>((resolve) => response.once("close", resolve));
  await work();
  await closed;
}
