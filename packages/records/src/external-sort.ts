import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mergeRecords } from "./merge.js";
import { compareRecords, copyRecord, type RecordStream, sortRecords } from "./record.js";
import { type RecordFile, RecordWriter, readRecords } from "./record-file.js";

export interface SortOptions {
  /** A directory of this sort alone, for its runs. It is removed at the end. */
  readonly directory: string;
  /** Bytes of records that are sorted in memory. Peak memory is about four times as much. Default 16 MiB. */
  readonly memoryBytes?: number;
  /** Keep only the first of equal records. */
  readonly isUnique?: boolean;
}

const defaultMemoryBytes = 1 << 24;

/** Records for which there is memory at first. Most sorts of a small shard have few. */
const firstRecords = 1024;

/** Runs that are merged together, and so files that are open at the same time. */
const fanIn = 32;

/** Sorts any number of records in bounded memory: sorted runs on disk, then merges of at most 32 of them. */
export class ExternalSort {
  readonly #options: SortOptions;
  readonly #width: number;
  readonly #maxBlockBytes: number;
  #block: Uint8Array;
  #runs: RecordFile[] = [];
  #filled = 0;
  #files = 0;

  constructor(width: number, options: SortOptions) {
    this.#width = width;
    this.#options = options;
    this.#maxBlockBytes = Math.max(1, Math.floor((options.memoryBytes ?? defaultMemoryBytes) / width)) * width;
    this.#block = new Uint8Array(Math.min(this.#maxBlockBytes, firstRecords * width));
    mkdirSync(options.directory, { recursive: true });
  }

  add(bytes: Uint8Array, at = 0): void {
    if (this.#filled === this.#maxBlockBytes) this.#writeRun();
    else if (this.#filled === this.#block.length) this.#grow();
    copyRecord(bytes, at, this.#block, this.#filled, this.#width);
    this.#filled += this.#width;
  }

  addAll(stream: RecordStream): void {
    while (stream.next()) this.add(stream.bytes, stream.at);
  }

  /** Writes the sorted records to a file, and removes the runs. */
  finish(path: string): RecordFile {
    if (this.#filled > 0) this.#writeRun();
    while (this.#runs.length > fanIn) {
      const merged = this.#merge(this.#runs.slice(0, fanIn), this.#nextPath());
      for (const run of this.#runs.splice(0, fanIn)) rmSync(run.path);
      this.#runs.push(merged);
    }
    const file = this.#merge(this.#runs, path);
    rmSync(this.#options.directory, { recursive: true });
    return file;
  }

  #grow(): void {
    const block = new Uint8Array(Math.min(this.#maxBlockBytes, 2 * this.#block.length));
    block.set(this.#block);
    this.#block = block;
  }

  #writeRun(): void {
    const sorted = sortRecords(this.#block.subarray(0, this.#filled), this.#width);
    const writer = new RecordWriter(this.#nextPath(), this.#width);
    for (let at = 0; at < sorted.length; at += this.#width)
      if (at === 0 || !this.#isRepeated(sorted, at - this.#width, sorted, at)) writer.add(sorted, at);
    this.#runs.push(writer.finish());
    this.#filled = 0;
  }

  #merge(runs: readonly RecordFile[], path: string): RecordFile {
    const merged = mergeRecords(runs.map(readRecords), this.#width);
    const writer = new RecordWriter(path, this.#width);
    const last = new Uint8Array(this.#width);
    for (let isFirst = true; merged.next(); isFirst = false) {
      if (!isFirst && this.#isRepeated(last, 0, merged.bytes, merged.at)) continue;
      copyRecord(merged.bytes, merged.at, last, 0, this.#width);
      writer.add(last);
    }
    return writer.finish();
  }

  #isRepeated(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
    return this.#options.isUnique === true && compareRecords(a, aAt, b, bAt, this.#width) === 0;
  }

  #nextPath(): string {
    return join(this.#options.directory, `run-${this.#files++}`);
  }
}
