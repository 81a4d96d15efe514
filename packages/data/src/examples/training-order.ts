import { assert } from "@lapidary/std";
import { type Bins, firstFit } from "./first-fit.js";
import type { Mixture, MixtureItem } from "./mixture.js";

export interface Packing {
  /** Tokens of a row. */
  readonly seq: number;
  /** Number of tokens of a document. */
  lengthOf(item: MixtureItem): number;
}

/**
 * The rows of every step: a function of (seed, step), so that a resumed run trains on the same rows. The rows of the epochs follow each other in
 * one sequence, and a batch can have rows of two epochs.
 *
 * Without packing, a row has one document. With packing, each epoch is packed by itself, in its own order. The number of rows then differs between
 * epochs, so the order counts the rows of all epochs before that of a step. It keeps the counts, and the rows of the last two epochs.
 */
export class TrainingOrder {
  readonly #mixture: Mixture;
  readonly #seed: number;
  readonly #packing: Packing | undefined;
  /** The first row of each epoch, as far as it is known. */
  readonly #starts: number[] = [0];
  readonly #packed = new Map<number, Bins>();

  constructor({ mixture, seed, packing }: { readonly mixture: Mixture; readonly seed: number; readonly packing?: Packing | undefined }) {
    [this.#mixture, this.#seed, this.#packing] = [mixture, seed, packing];
  }

  /** The documents of the rows of a step. */
  rows(step: number, batch: number): readonly (readonly MixtureItem[])[] {
    assert(Number.isInteger(step) && step >= 0 && Number.isInteger(batch) && batch > 0, "the rows of a step", step, batch);
    return Array.from({ length: batch }, (_, row) => this.#row(step * batch + row));
  }

  /** The number of the epoch, counted from 0, that the first row of a step is from. */
  epochOf(step: number, batch: number): number {
    return this.#locate(step * batch).epoch;
  }

  #row(ordinal: number): readonly MixtureItem[] {
    const { epoch, row } = this.#locate(ordinal);
    if (this.#packing === undefined) return [this.#mixture.item(this.#seed, epoch, row)];
    const slots = this.#pack(epoch, this.#packing).itemsOf(row);
    return Array.from(slots, (slot) => this.#mixture.item(this.#seed, epoch, slot));
  }

  #locate(ordinal: number): { readonly epoch: number; readonly row: number } {
    const { size } = this.#mixture;
    const packing = this.#packing;
    if (packing === undefined) return { epoch: Math.floor(ordinal / size), row: ordinal % size };
    for (let epoch = this.#starts.length - 1; (this.#starts[epoch] ?? 0) <= ordinal; epoch++)
      this.#starts[epoch + 1] = (this.#starts[epoch] ?? 0) + this.#pack(epoch, packing).count;
    const epoch = this.#starts.findLastIndex((start) => start <= ordinal);
    return { epoch, row: ordinal - (this.#starts[epoch] ?? 0) };
  }

  /** The slots of an epoch in rows. */
  #pack(epoch: number, { seq, lengthOf }: Packing): Bins {
    const kept = this.#packed.get(epoch);
    if (kept !== undefined) return kept;
    const lengths = new Int32Array(this.#mixture.size);
    for (let slot = 0; slot < lengths.length; slot++) lengths[slot] = lengthOf(this.#mixture.item(this.#seed, epoch, slot));
    const rows = firstFit(lengths, seq);
    for (const other of this.#packed.keys()) if (other < epoch - 1 || other > epoch) this.#packed.delete(other);
    this.#packed.set(epoch, rows);
    return rows;
  }
}
