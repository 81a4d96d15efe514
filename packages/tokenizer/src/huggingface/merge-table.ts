import { must } from "@lapidary/std";

/** Merges by rank: position i of each array holds the pair of rank i and the id that it becomes. Lower ranks are applied first. */
export interface PairMerges {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly made: Int32Array;
}

/** The merges of a tokenizer: a hash table with open addressing, because a vocabulary like Gemma's has half a million of them. */
export class MergeTable {
  readonly #mask: number;
  /** Of each slot the rank plus one; 0 where it is empty. */
  readonly #slots: Int32Array;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #made: Int32Array;

  /** Of two merges of the same pair the later counts, as in `tokenizers`. */
  constructor({ left, right, made }: PairMerges) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, made.length) * 2));
    this.#mask = size - 1;
    this.#slots = new Int32Array(size);
    [this.#left, this.#right, this.#made] = [left, right, made];
    for (let rank = 0; rank < made.length; rank++) this.#slots[this.#slotOf(left[rank] ?? 0, right[rank] ?? 0)] = rank + 1;
  }

  /** Rank of the merge of two ids; -1 where there is none. */
  rank(left: number, right: number): number {
    return (this.#slots[this.#slotOf(left, right)] ?? 0) - 1;
  }

  /** The id that a merge makes. */
  made(rank: number): number {
    return must(this.#made[rank], "merge");
  }

  /** The slot that holds the pair, or the empty one where it belongs. */
  #slotOf(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) & this.#mask;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    for (;;) {
      const rank = (this.#slots[slot] ?? 0) - 1;
      if (rank < 0 || (this.#left[rank] === left && this.#right[rank] === right)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }
}
