/**
 * The pairs of adjacent pieces, most frequent first. Counts change with every merge, so the queue is lazy: an entry
 * has the count at the time of its push. If the count is smaller when the entry is popped, it is pushed again.
 *
 * Invariant: a pair of count c ≥ 1 has an entry of at least c (raising a count pushes, lowering does not).
 */
export class PairQueue {
  readonly #heap: Entry[] = [];
  readonly #currentCount: (pair: number) => number;
  readonly #precedes: (a: number, b: number) => boolean;

  /**
   * @param currentCount the current count of a pair
   * @param precedes order among pairs of equal count: makes training deterministic
   */
  constructor(currentCount: (pair: number) => number, precedes: (a: number, b: number) => boolean) {
    this.#currentCount = currentCount;
    this.#precedes = precedes;
  }

  push(pair: number): void {
    const heap = this.#heap;
    const entry = { pair, count: this.#currentCount(pair) };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !this.#before(entry, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = entry;
  }

  /** Removes and returns the pair with the highest count; undefined if no pair of at least `minCount` is left. */
  pop(minCount: number): number | undefined {
    for (;;) {
      const top = this.#removeTop();
      if (top === undefined) return undefined;
      const count = this.#currentCount(top.pair);
      if (count === top.count) return count >= minCount ? top.pair : undefined;
      if (count >= minCount) this.push(top.pair);
    }
  }

  #removeTop(): Entry | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      let child = heap[down];
      const right = heap[down + 1];
      if (child !== undefined && right !== undefined && this.#before(right, child)) [down, child] = [down + 1, right];
      if (child === undefined || !this.#before(child, last)) break;
      heap[at] = child;
      at = down;
    }
    heap[at] = last;
    return top;
  }

  #before(a: Entry, b: Entry): boolean {
    return a.count !== b.count ? a.count > b.count : this.#precedes(a.pair, b.pair);
  }
}

interface Entry {
  readonly pair: number;
  readonly count: number;
}
