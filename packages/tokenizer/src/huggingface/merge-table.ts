import { ensure } from "@lapidary/std";

/** Merges by rank: element i of the arrays is the pair of rank i and the id of the merged token. Lower ranks apply first. */
export interface PairMerges {
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly mergedIds: Int32Array;
}

/** The merges of a tokenizer as a hash table with open addressing, because a vocabulary such as Gemma's has half a million merges. */
export class MergeTable {
  readonly #mask: number;
  /** The rank of each slot plus one; 0 for an empty slot. */
  readonly #slots: Int32Array;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #mergedIds: Int32Array;

  /** If two merges have the same pair, the later one counts, as in `tokenizers`. */
  constructor({ left, right, mergedIds }: PairMerges) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, mergedIds.length) * 2));
    this.#mask = size - 1;
    this.#slots = new Int32Array(size);
    [this.#left, this.#right, this.#mergedIds] = [left, right, mergedIds];
    for (let rank = 0; rank < mergedIds.length; rank++) this.#slots[this.#slotOf(left[rank] ?? 0, right[rank] ?? 0)] = rank + 1;
  }

  /** Rank of the merge of two ids; -1 if they do not merge. */
  rank(left: number, right: number): number {
    return (this.#slots[this.#slotOf(left, right)] ?? 0) - 1;
  }

  /** The id of the merged token. */
  mergedId(rank: number): number {
    return ensure(this.#mergedIds[rank], "merge");
  }

  /** The slot of the pair, or the empty slot for it. */
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
