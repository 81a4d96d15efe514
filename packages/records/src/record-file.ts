import { createHash, type Hash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { LapidaryError } from "@lapidary/std";
import { copyRecord, type RecordStream } from "./record.js";

/** A complete file of records. */
export interface RecordFile {
  readonly path: string;
  readonly width: number;
  readonly count: number;
  /** SHA-256 of the records, in hex. */
  readonly sha256: string;
}

//     record 0 │ record 1 │ … │ "LAPREC01" │ width u32 │ count u64 │ SHA-256 of the records
const magic = Buffer.from("LAPREC01");
const footerBytes = magic.length + 4 + 8 + 32;

/** Bytes that are written or read together. */
const blockBytes = 1 << 18;

/** Writes a file of records. */
export class RecordWriter {
  readonly #path: string;
  readonly #width: number;
  readonly #file: number;
  readonly #block: Uint8Array;
  readonly #hash: Hash = createHash("sha256");
  #filled = 0;
  #count = 0;

  constructor(path: string, width: number) {
    this.#path = path;
    this.#width = width;
    this.#file = openSync(path, "w");
    this.#block = new Uint8Array(Math.max(1, Math.floor(blockBytes / width)) * width);
  }

  add(bytes: Uint8Array, at = 0): void {
    if (this.#filled === this.#block.length) this.#flush();
    copyRecord(bytes, at, this.#block, this.#filled, this.#width);
    this.#filled += this.#width;
    this.#count++;
  }

  /** Writes the footer. A file without it is refused when it is read. */
  finish(): RecordFile {
    this.#flush();
    const digest = this.#hash.digest();
    const footer = Buffer.alloc(footerBytes);
    magic.copy(footer);
    footer.writeUInt32BE(this.#width, magic.length);
    footer.writeBigUInt64BE(BigInt(this.#count), magic.length + 4);
    digest.copy(footer, magic.length + 12);
    writeAll(this.#file, footer);
    closeSync(this.#file);
    return { path: this.#path, width: this.#width, count: this.#count, sha256: digest.toString("hex") };
  }

  /** Closes the file, which stays incomplete. */
  abandon(): void {
    closeSync(this.#file);
  }

  #flush(): void {
    const filled = this.#block.subarray(0, this.#filled);
    this.#hash.update(filled);
    writeAll(this.#file, filled);
    this.#filled = 0;
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at);
}

/**
 * Reads the footer of a file of records.
 *
 * @throws LapidaryError LAP_DATA_STORE if the file is cut off, or has records of another width
 */
export function recordFile(path: string, width: number): RecordFile {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const footer = Buffer.alloc(footerBytes);
    const read = size < footerBytes ? 0 : readSync(file, footer, 0, footerBytes, size - footerBytes);
    if (read < footerBytes || !footer.subarray(0, magic.length).equals(magic)) throw damaged(path, "it is cut off: it has no footer");
    const stored = footer.readUInt32BE(magic.length);
    const count = Number(footer.readBigUInt64BE(magic.length + 4));
    if (stored !== width) throw damaged(path, `its records have ${stored} bytes instead of ${width}`);
    if (size !== count * width + footerBytes) throw damaged(path, `${count} records were written, and its size is ${size} bytes`);
    return { path, width, count, sha256: footer.toString("hex", magic.length + 12) };
  } finally {
    closeSync(file);
  }
}

/**
 * The records of a file. The digest is compared at the end, so a result that was computed from the records must not be published before.
 *
 * @throws LapidaryError LAP_DATA_STORE from `next`, if the records have another digest than the footer
 */
export function readRecords({ path, width, count, sha256 }: RecordFile): RecordStream {
  const file = openSync(path, "r");
  const bytes = new Uint8Array(Math.max(1, Math.floor(blockBytes / width)) * width);
  const hash = createHash("sha256");
  const state = { isOpen: true, filled: 0, left: count };
  const close = (): void => {
    if (state.isOpen) closeSync(file);
    state.isOpen = false;
  };
  const stream = {
    width,
    bytes,
    at: -width,
    next(): boolean {
      stream.at += width;
      if (stream.at < state.filled) return true;
      if (!state.isOpen) return false;
      stream.at = 0;
      state.filled = 0;
      const wanted = Math.min(bytes.length, state.left * width);
      while (state.filled < wanted) {
        const read = readSync(file, bytes, state.filled, wanted - state.filled, null);
        if (read === 0) throw damaged(path, "it ends early");
        state.filled += read;
      }
      state.left -= wanted / width;
      hash.update(bytes.subarray(0, wanted));
      if (state.left === 0) {
        close();
        if (hash.digest("hex") !== sha256) throw damaged(path, "its records differ from their digest");
      }
      return wanted > 0;
    },
    close,
  };
  return stream;
}

const damaged = (location: string, why: string): LapidaryError =>
  new LapidaryError({ code: "LAP_DATA_STORE", message: `a partition of sorted records cannot be used: ${why}`, location });
