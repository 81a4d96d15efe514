import { assert } from "@lapidary/std";

export interface Bins {
  /** Number of bins that have items. */
  readonly count: number;
  /** The indices of the items of a bin, in ascending order. */
  itemsOf(bin: number): Int32Array;
}

/**
 * Puts items into bins by first fit: each item goes to the first bin with enough free capacity, and is never split. The bins depend only on the
 * lengths and their order. A tree of the free capacities makes it O(n log n):
 *
 *                    max of all
 *           max of 0,1        max of 2,3
 *         bin 0    bin 1    bin 2    bin 3
 *
 * @param lengths from 1 to `capacity`
 */
export function firstFit(lengths: ArrayLike<number>, capacity: number): Bins {
  const count = lengths.length;
  let leaves = 1;
  while (leaves < count) leaves *= 2;
  const free = new Float64Array(2 * leaves).fill(capacity);
  const freeAt = (node: number): number => free[node] ?? 0;
  const binOf = new Int32Array(count);
  let bins = 0;
  for (let item = 0; item < count; item++) {
    const length = lengths[item] ?? 0;
    assert(length > 0 && length <= capacity, "an item fits into an empty bin", length, capacity);
    let node = 1;
    while (node < leaves) node = freeAt(2 * node) >= length ? 2 * node : 2 * node + 1;
    binOf[item] = node - leaves;
    bins = Math.max(bins, node - leaves + 1);
    free[node] = freeAt(node) - length;
    for (node >>= 1; node > 0; node >>= 1) free[node] = Math.max(freeAt(2 * node), freeAt(2 * node + 1));
  }
  return grouped(binOf, bins);
}

/** The items of each bin, by a counting sort. */
function grouped(binOf: Int32Array, count: number): Bins {
  const starts = new Int32Array(count + 1);
  for (const bin of binOf) starts[bin + 1] = (starts[bin + 1] ?? 0) + 1;
  for (let bin = 0; bin < count; bin++) starts[bin + 1] = (starts[bin + 1] ?? 0) + (starts[bin] ?? 0);
  const next = starts.slice(0, count);
  const items = new Int32Array(binOf.length);
  for (const [item, bin] of binOf.entries()) {
    const at = next[bin] ?? 0;
    items[at] = item;
    next[bin] = at + 1;
  }
  return { count, itemsOf: (bin) => items.subarray(starts[bin], starts[bin + 1]) };
}
