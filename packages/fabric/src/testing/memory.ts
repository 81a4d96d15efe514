import { bufferPool } from "../buffer-pool.js";
import { type Channel, type ChannelOptions, WireChannel } from "../channel.js";
import { workerGroupLimits } from "../connect-peers.js";
import { ChannelPeers, type Peers } from "../peers.js";
import type { Wire, WireSink } from "../wire.js";

/** Two ends of a channel within one process. Frames, checks and ordering are those of production; only the socket is missing. */
export function memoryPair(first: ChannelOptions = {}, second: ChannelOptions = first): Promise<[Channel, Channel]> {
  const [a, b] = [new WireChannel("memory", first), new WireChannel("memory", second)];
  const [wireA, wireB] = memoryWires(a, b);
  a.attach(wireA);
  b.attach(wireB);
  return Promise.all([a.opened, b.opened]);
}

/** A worker group of `size` workers within one process, by rank. */
export async function memoryPeers(size: number, epoch = 0): Promise<Peers[]> {
  const channels = Array.from({ length: size }, () => new Map<number, Channel>());
  const pool = bufferPool();
  const options: ChannelOptions = { epoch, limits: workerGroupLimits, pool };
  for (let a = 0; a < size; a++)
    for (let b = a + 1; b < size; b++) {
      const [ofA, ofB] = await memoryPair(options);
      channels[a]?.set(b, ofA);
      channels[b]?.set(a, ofB);
    }
  return channels.map((own, rank) => new ChannelPeers(rank, epoch, own, pool));
}

/**
 * Two ends of a wire in memory. As with a socket, bytes are copied and delivered in later turns of the event loop, never
 * within `write`.
 *
 * @param chunkBytes maximum size of one delivery
 */
function memoryWires(first: WireSink, second: WireSink, chunkBytes = 64 * 1024): [Wire, Wire] {
  const toSecond = new Direction(second, chunkBytes);
  const toFirst = new Direction(first, chunkBytes);
  return [memoryWire(toSecond, toFirst), memoryWire(toFirst, toSecond)];
}

function memoryWire(out: Direction, back: Direction): Wire {
  return {
    write: (parts, flushed) => out.push(parts, flushed),
    end: () => out.push("end", () => undefined),
    destroy: () => {
      back.drop();
      out.cut();
    },
    pause: () => back.pause(),
    resume: () => back.resume(),
  };
}

/** One direction of a wire: a queue that the event loop empties. */
class Direction {
  readonly #sink: WireSink;
  readonly #chunkBytes: number;
  #queue: { readonly item: readonly Uint8Array[] | "end"; readonly flushed: () => void }[] = [];
  #paused = false;
  #scheduled = false;
  #ended = false;

  constructor(sink: WireSink, chunkBytes: number) {
    this.#sink = sink;
    this.#chunkBytes = chunkBytes;
  }

  push(item: readonly Uint8Array[] | "end", flushed: () => void): void {
    if (this.#ended) return;
    this.#queue.push({ item, flushed });
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  /** The reader has closed. */
  drop(): void {
    this.#ended = true;
    this.#queue = [];
  }

  /** The writer has closed: the end follows the bytes that were already delivered. */
  cut(): void {
    this.#queue = [];
    this.#paused = false;
    this.push("end", () => undefined);
  }

  #schedule(): void {
    if (this.#scheduled || this.#paused || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  #run(): void {
    while (!this.#paused) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      if (next.item === "end") {
        this.drop();
        this.#sink.ended();
        return;
      }
      for (const part of next.item)
        for (let at = 0; at < part.byteLength; at += this.#chunkBytes) this.#deliver(part.subarray(at, at + this.#chunkBytes));
      next.flushed();
    }
  }

  #deliver(chunk: Uint8Array): void {
    if (!this.#ended) this.#sink.feed(chunk);
  }
}
