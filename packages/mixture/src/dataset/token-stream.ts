import { close, closeSync, fstatSync, openSync, read, readSync } from "node:fs";
import { endianness } from "node:os";
import { assert, ensure } from "@lapidary/std";
import { damagedDataset, unreadable } from "./dataset-error.js";
import type { BytesPerId } from "./published-dataset.js";

/** Tokens of a shard that belong to a stream. */
export interface StreamPart {
  readonly path: string;
  /** Tokens of the whole file. */
  readonly fileTokens: number;
  /** The first token of the part. */
  readonly first: number;
  /** Tokens of the part. */
  readonly count: number;
}

interface OpenFile {
  readonly file: number;
  /** Reads ahead that have not ended. */
  pending: number;
  isClosing: boolean;
}

/** Files that are open at the same time, below the usual limit of a process. */
const maxOpen = 200;

/**
 * The parts of a source as one stream of tokens. Files are opened at their first use, and read by ranges. The page cache of the operating system is the
 * only cache.
 */
export class TokenStream {
  readonly #parts: readonly StreamPart[];
  readonly #bytes: BytesPerId;
  /** The first token of each part in the stream, then the length. */
  readonly #starts: Float64Array;
  /** By part, in the order of their last use. */
  readonly #open = new Map<number, OpenFile>();

  constructor(parts: readonly StreamPart[], bytesPerId: BytesPerId) {
    assert(endianness() === "LE", "the machine is little-endian, as shards are");
    [this.#parts, this.#bytes] = [parts, bytesPerId];
    this.#starts = new Float64Array(parts.length + 1);
    for (const [i, { count }] of parts.entries()) this.#starts[i + 1] = ensure(this.#starts[i], "start") + count;
  }

  get length(): number {
    return ensure(this.#starts.at(-1), "length");
  }

  /**
   * Tokens `[start, start + count)`, fewer at the end of the stream.
   *
   * @throws LapidaryError LAP_DATA_DATASET if a file is missing or truncated
   */
  read(start: number, count: number): Uint16Array | Uint32Array {
    const size = Math.max(0, Math.min(count, this.length - start));
    const tokens = this.#bytes === 2 ? new Uint16Array(size) : new Uint32Array(size);
    const bytes = new Uint8Array(tokens.buffer);
    for (const { part, position, at, length } of this.#ranges(start, size)) {
      const { file } = this.#file(part);
      for (let done = 0; done < length; ) {
        const got = readSync(file, bytes, at + done, length - done, position + done);
        if (got === 0) throw damagedDataset(this.#pathOf(part), "it became shorter while it was read");
        done += got;
      }
    }
    return tokens;
  }

  /** Reads a range into the page cache, without waiting. A failure is reported by `read`. */
  prefetch(start: number, count: number): void {
    for (const { part, position, length } of this.#ranges(start, Math.max(0, Math.min(count, this.length - start)))) {
      let opened: OpenFile;
      try {
        opened = this.#file(part);
      } catch {
        return;
      }
      opened.pending++;
      read(opened.file, new Uint8Array(length), 0, length, position, () => {
        opened.pending--;
        if (opened.isClosing && opened.pending === 0) close(opened.file, () => undefined);
      });
    }
  }

  /** The part that has a token, and the first token of that part in the stream. */
  partAt(token: number): { readonly part: number; readonly start: number } {
    let [low, high] = [0, this.#parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (ensure(this.#starts[middle], "start") <= token) low = middle;
      else high = middle - 1;
    }
    return { part: low, start: ensure(this.#starts[low], "start") };
  }

  startOf(part: number): number {
    return ensure(this.#starts[part], "start of a part");
  }

  close(): void {
    for (const opened of this.#open.values()) release(opened);
    this.#open.clear();
  }

  /** The ranges of bytes of files that a range of tokens has. */
  *#ranges(
    start: number,
    count: number,
  ): Generator<{ readonly part: number; readonly position: number; readonly at: number; readonly length: number }> {
    if (count === 0) return;
    let { part } = this.partAt(start);
    for (let done = 0; done < count; part++) {
      const { first, count: size } = ensure(this.#parts[part], "part of a source");
      const offset = start + done - this.startOf(part);
      const length = Math.min(size - offset, count - done);
      if (length <= 0) continue;
      yield { part, position: (first + offset) * this.#bytes, at: done * this.#bytes, length: length * this.#bytes };
      done += length;
    }
  }

  #pathOf(part: number): string {
    return ensure(this.#parts[part], "part").path;
  }

  #file(part: number): OpenFile {
    const known = this.#open.get(part);
    this.#open.delete(part);
    const opened = known ?? this.#openFile(part);
    this.#open.set(part, opened);
    const [oldest] = this.#open;
    if (this.#open.size > maxOpen && oldest !== undefined) {
      this.#open.delete(oldest[0]);
      release(oldest[1]);
    }
    return opened;
  }

  #openFile(part: number): OpenFile {
    const { path, fileTokens } = ensure(this.#parts[part], "part");
    let file: number;
    try {
      file = openSync(path, "r");
    } catch (error) {
      throw unreadable(path, error);
    }
    const { size } = fstatSync(file);
    if (size === fileTokens * this.#bytes) return { file, pending: 0, isClosing: false };
    closeSync(file);
    throw damagedDataset(path, `it has ${size} bytes, not ${fileTokens * this.#bytes}`);
  }
}

function release(opened: OpenFile): void {
  opened.isClosing = true;
  if (opened.pending === 0) closeSync(opened.file);
}
