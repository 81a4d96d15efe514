import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { endianness } from "node:os";
import { assert } from "@lapidary/std";
import { badDataset } from "../data-errors.js";

/** Bytes of a number on disk: 2 for a token if the vocabulary permits, else 4; 1 for a mask. A file has no header and is little-endian. */
export type TokenBytes = 1 | 2 | 4;
type Tokens = Uint8Array | Uint16Array | Uint32Array;

export function bytesPerToken(vocabSize: number): 2 | 4 {
  return vocabSize <= 0x10000 ? 2 : 4;
}

function tokenArray(length: number, bytes: TokenBytes): Tokens {
  assert(endianness() === "LE", "the machine is little-endian, as token files are");
  if (bytes === 1) return new Uint8Array(length);
  return bytes === 2 ? new Uint16Array(length) : new Uint32Array(length);
}

/** Appends tokens to a new file through a buffer. */
export class TokenWriter {
  readonly #file: number;
  readonly #buffer: Tokens;
  #used = 0;
  #flushed = 0;

  constructor(path: string, bytes: TokenBytes) {
    this.#file = openSync(path, "wx", 0o600);
    this.#buffer = tokenArray(1 << 18, bytes);
  }

  /** Number of tokens written so far: the index of the next token. */
  get length(): number {
    return this.#flushed + this.#used;
  }

  push(token: number): void {
    this.#buffer[this.#used++] = token;
    if (this.#used === this.#buffer.length) this.#flush();
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#file);
    }
  }

  #flush(): void {
    const bytes = new Uint8Array(this.#buffer.buffer, 0, this.#used * this.#buffer.BYTES_PER_ELEMENT);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    this.#flushed += this.#used;
    this.#used = 0;
  }
}

/**
 * Reads any segment of a token file. The page cache of the operating system is the only cache, so that all workers of a
 * machine share one copy in memory.
 */
export class TokenReader {
  readonly #file: number;
  readonly #path: string;
  readonly #bytes: TokenBytes;
  readonly length: number;

  /** @throws LapidaryError `LAP_DATA_DATASET` if the file is missing or does not have `length` tokens */
  constructor(path: string, length: number, bytes: TokenBytes) {
    try {
      this.#file = openSync(path, "r");
    } catch (cause) {
      throw badDataset(path, cause instanceof Error ? cause.message : String(cause));
    }
    const size = fstatSync(this.#file).size;
    if (size !== length * bytes) {
      closeSync(this.#file);
      throw badDataset(path, `it has ${size} bytes, but ${length} tokens have ${length * bytes}`);
    }
    [this.#path, this.#bytes, this.length] = [path, bytes, length];
  }

  /** Tokens `[start, start + count)`, fewer at the end of the file. */
  read(start: number, count: number): Tokens {
    const tokens = tokenArray(Math.max(0, Math.min(count, this.length - start)), this.#bytes);
    const bytes = new Uint8Array(tokens.buffer);
    for (let at = 0; at < bytes.length; ) {
      const got = readSync(this.#file, bytes, at, bytes.length - at, start * this.#bytes + at);
      if (got === 0) throw badDataset(this.#path, "it became shorter while it was read");
      at += got;
    }
    return tokens;
  }

  close(): void {
    closeSync(this.#file);
  }
}
