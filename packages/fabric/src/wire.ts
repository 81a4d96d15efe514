/**
 * An ordered stream of bytes in both directions, under a channel: a unix socket, a pair in memory, later TLS to another
 * host. It knows nothing of frames.
 */
export interface Wire {
  /**
   * Queues the bytes of `parts`, in order and without copying them; they must stay as they are until `flushed` is
   * called. `flushed` is not called any more once the wire broke.
   */
  write(parts: readonly Uint8Array[], flushed: () => void): void;
  /** Nothing more will be written; the other side sees the end after all that was. */
  end(): void;
  /** Gives up at once, dropping what was not sent. */
  destroy(): void;
  /** Stops reading for a while: back-pressure to the other side. */
  pause(): void;
  resume(): void;
}

/** Who reads a wire. */
export interface WireSink {
  /** Where the next bytes are to be written; never empty. */
  target(): Uint8Array;
  /** That many bytes were written to the target. */
  advance(bytes: number): void;
  /** Bytes that arrived in a buffer of the wire's own. */
  feed(chunk: Uint8Array): void;
  /** The other side ended (no error) or the wire broke. Called once, after all bytes. */
  ended(error?: unknown): void;
}

/** Something that changes the bytes between the two ends: tests inject wire faults with it. */
export type Tamper = (chunk: Uint8Array) => readonly Uint8Array[];

/** Something that changes what goes on the wire for one frame, its parts in order; it may return none, or those of several. For tests. */
export type FrameTamper = (parts: readonly Uint8Array[]) => readonly Uint8Array[];

/**
 * Two ends of a wire in memory. Bytes are copied, and delivered on later turns of the event loop, never within `write`:
 * what holds of a socket holds here.
 *
 * @param chunkBytes the longest piece delivered at once
 * @param tamper changes each chunk on its way; it may return none, or several
 */
export function memoryWires(first: WireSink, second: WireSink, chunkBytes = 64 * 1024, tamper?: Tamper): [Wire, Wire] {
  const toSecond = new Direction(second, chunkBytes, tamper);
  const toFirst = new Direction(first, chunkBytes, tamper);
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

/** One direction: a queue that is emptied by the event loop. */
class Direction {
  readonly #sink: WireSink;
  readonly #chunkBytes: number;
  readonly #tamper: Tamper | undefined;
  #queue: { readonly item: readonly Uint8Array[] | "end"; readonly flushed: () => void }[] = [];
  #paused = false;
  #scheduled = false;
  #ended = false;

  constructor(sink: WireSink, chunkBytes: number, tamper: Tamper | undefined) {
    this.#sink = sink;
    this.#chunkBytes = chunkBytes;
    this.#tamper = tamper;
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

  /** The reader is gone. */
  drop(): void {
    this.#ended = true;
    this.#queue = [];
  }

  /** The writer is gone: the end follows what was already delivered. */
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
    const chunks = this.#tamper === undefined ? [chunk] : this.#tamper(chunk);
    for (const piece of chunks) if (!this.#ended) this.#sink.feed(piece);
  }
}
