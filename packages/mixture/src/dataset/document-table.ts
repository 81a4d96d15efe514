import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { damagedDataset, unreadable } from "./dataset-error.js";
import { recordBytes } from "./shard.js";

/** A document of a table. */
export interface TableDocument {
  /** In hex. */
  readonly id: string;
  /** EOS included. */
  readonly tokens: number;
}

/** Records that are read at once. */
const recordsPerRead = 4096;

/**
 * The table of documents of a shard, which is sorted by id. The file is read in parts, so memory does not depend on its size.
 */
export class DocumentTable {
  readonly #path: string;
  readonly #file: number;
  readonly length: number;

  /** @throws LapidaryError LAP_DATA_DATASET if the file is missing or has not `length` records */
  constructor(path: string, length: number) {
    try {
      this.#file = openSync(path, "r");
    } catch (error) {
      throw unreadable(path, error);
    }
    [this.#path, this.length] = [path, length];
    const { size } = fstatSync(this.#file);
    if (size === length * recordBytes) return;
    this.close();
    throw damagedDataset(path, `it has ${size} bytes, not ${length * recordBytes}`);
  }

  /** Documents in order, from a number on. */
  *from(first = 0): Generator<TableDocument> {
    for (let at = first; at < this.length; at += recordsPerRead) {
      const part = this.#read(at, Math.min(recordsPerRead, this.length - at));
      for (let offset = 0; offset < part.length; offset += recordBytes)
        yield { id: part.toString("hex", offset, offset + 32), tokens: part.readUInt32LE(offset + 32) };
    }
  }

  /** The number of documents whose id is below a bound in hex, of any length. */
  countBelow(bound: string): number {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#read(middle, 1).toString("hex", 0, 32) < bound) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The tokens of the first documents. */
  tokensOfFirst(documents: number): number {
    let tokens = 0;
    for (let at = 0; at < documents; at += recordsPerRead) {
      const part = this.#read(at, Math.min(recordsPerRead, documents - at));
      for (let offset = 32; offset < part.length; offset += recordBytes) tokens += part.readUInt32LE(offset);
    }
    return tokens;
  }

  close(): void {
    closeSync(this.#file);
  }

  #read(first: number, count: number): Buffer {
    const part = Buffer.alloc(count * recordBytes);
    for (let at = 0; at < part.length; ) {
      const got = readSync(this.#file, part, at, part.length - at, first * recordBytes + at);
      if (got === 0) throw damagedDataset(this.#path, "it became shorter while it was read");
      at += got;
    }
    return part;
  }
}
