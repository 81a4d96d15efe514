import { ensure } from "@lapidary/std";

/** Bytes of a block: a cache line. */
const blockBytes = 64;

interface Range {
  readonly first: number;
  readonly blocks: number;
}

/** Plans the memory of arrays that live for a part of a sequence: the first gap that is large enough. Arrays begin at a multiple of 64 bytes. */
export class ScratchMemory {
  /** Ascending. */
  #taken: (Range & { readonly owner: number })[] = [];
  #blocks = 0;

  /** Size of the memory in blocks of 64 bytes. */
  get blocks(): number {
    return this.#blocks;
  }

  /** @returns the first block */
  take(owner: number, bytes: number): number {
    const blocks = Math.ceil(bytes / blockBytes);
    let first = 0;
    let index = 0;
    for (; index < this.#taken.length; index++) {
      const next = ensure(this.#taken[index], "range");
      if (next.first - first >= blocks) break;
      first = next.first + next.blocks;
    }
    this.#taken.splice(index, 0, { owner, first, blocks });
    this.#blocks = Math.max(this.#blocks, first + blocks);
    return first;
  }

  free(owner: number): void {
    this.#taken = this.#taken.filter((range) => range.owner !== owner);
  }
}
