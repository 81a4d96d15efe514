import { join } from "node:path";
import { compareRecords, ExternalSort, numberAt, putNumber, readRecords } from "@lapidary/records";

/**
 * A sample has the texts with the smallest ids. Ids are hashes, so it is uniform, and the order and the sharding of the texts do not matter.
 *
 * The bytes of texts by the first digits of their ids say which texts the sample can have. Only these are stored a second time.
 */

/** Sets of ids with equal first digits. A corpus has about so many times the bytes of one set. */
export const idBins = 4096;

/** 8 bytes for each bin. */
export const binsBytes = 8 * idBins;

export const binOfId = (id: string): number => Number.parseInt(id.slice(0, 3), 16);

/** The last bin whose texts a sample of `limit` bytes can have. */
export function lastBinOf(bytesOfBin: Float64Array, limit: number): number {
  let sum = 0;
  for (const [bin, bytes] of bytesOfBin.entries()) {
    sum += bytes;
    // A text that does not fit ends the sample. An empty sample takes its first text.
    if (sum > limit) return bin;
  }
  return idBins - 1;
}

const idBytes = 32;
const sizeBytes = 6;

/** Finds the texts of a sample by their ids and sizes, in the memory of a sort on disk. */
export class SampleIds {
  readonly #sort: ExternalSort;
  readonly #path: string;
  readonly #record = Buffer.alloc(idBytes + sizeBytes);

  /** @param directory for files of this sort alone */
  constructor(directory: string) {
    this.#path = join(directory, "sample-ids");
    this.#sort = new ExternalSort(idBytes + sizeBytes, { directory: join(directory, "sort-ids") });
  }

  add(id: string, bytes: number): void {
    this.#record.write(id, "hex");
    putNumber(this.#record, idBytes, sizeBytes, bytes);
    this.#sort.add(this.#record);
  }

  /**
   * Ends the sort.
   *
   * @param limit bytes of the sample
   * @returns whether the sample has a text: those with the smallest ids that have at most `limit` bytes together, and at least one text
   */
  finish(limit: number): (id: string) => boolean {
    const sorted = readRecords(this.#sort.finish(this.#path));
    const end = new Uint8Array(idBytes);
    let sum = 0;
    for (let isFirst = true; sorted.next(); isFirst = false) {
      sum += numberAt(sorted.bytes, sorted.at + idBytes, sizeBytes);
      if (sum <= limit || isFirst) continue;
      end.set(sorted.bytes.subarray(sorted.at, sorted.at + idBytes));
      sorted.close();
      return (id) => compareRecords(Buffer.from(id, "hex"), 0, end, 0, idBytes) < 0;
    }
    return () => true;
  }
}
