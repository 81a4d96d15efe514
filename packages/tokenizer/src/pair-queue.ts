import { grownTo } from "./grow.js";

/**
 * The pairs of adjacent pieces, most frequent first. Counts change with every merge, so the queue is lazy: an entry
 * has the count at the time of its push. If the count is smaller when the entry is popped, it is pushed again.
 *
 * Invariant: a pair of count c ≥ 1 has an entry of at least c (raising a count pushes, lowering does not).
 */
export class PairQueue {
  /** A binary heap of entries. */
  #pairs = new Int32Array(1024);
  #counts = new Float64Array(1024);
  #size = 0;
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
    const count = this.#currentCount(pair);
    let at = this.#size++;
    [this.#pairs, this.#counts] = [grownTo(this.#pairs, at), grownTo(this.#counts, at)];
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!this.#isBefore(pair, count, up)) break;
      this.#copy(up, at);
      at = up;
    }
    this.#put(at, pair, count);
  }

  /** Removes and returns the pair with the highest count; undefined if no pair of at least `minCount` is left. */
  pop(minCount: number): number | undefined {
    while (this.#size > 0) {
      const [pair, pushed] = [this.#pairs[0] ?? 0, this.#counts[0] ?? 0];
      this.#removeTop();
      const count = this.#currentCount(pair);
      if (count === pushed) return count >= minCount ? pair : undefined;
      if (count >= minCount) this.push(pair);
    }
    return undefined;
  }

  #removeTop(): void {
    const last = --this.#size;
    if (last === 0) return;
    const [pair, count] = [this.#pairs[last] ?? 0, this.#counts[last] ?? 0];
    let at = 0;
    for (let child = 1; child < last; child = 2 * at + 1) {
      if (child + 1 < last && this.#isBefore(this.#pairs[child + 1] ?? 0, this.#counts[child + 1] ?? 0, child)) child++;
      if (this.#isBefore(pair, count, child)) break;
      this.#copy(child, at);
      at = child;
    }
    this.#put(at, pair, count);
  }

  #isBefore(pair: number, count: number, entry: number): boolean {
    const other = this.#counts[entry] ?? 0;
    return count !== other ? count > other : this.#precedes(pair, this.#pairs[entry] ?? 0);
  }

  #copy(from: number, to: number): void {
    this.#put(to, this.#pairs[from] ?? 0, this.#counts[from] ?? 0);
  }

  #put(at: number, pair: number, count: number): void {
    this.#pairs[at] = pair;
    this.#counts[at] = count;
  }
}
