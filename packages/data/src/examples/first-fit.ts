import { assert } from "@lapidary/std";

/**
 * Puts items into bins by first fit: each item goes to the first bin with enough free capacity, and is never split. The bins depend only on the
 * lengths and their order. A tree of the free capacities makes it O(n log n):
 *
 *                    max of all
 *           max of 0,1        max of 2,3
 *         bin 0    bin 1    bin 2    bin 3
 *
 * @returns the indices of the items of each bin, in ascending order
 */
export function firstFit(lengths: ArrayLike<number>, capacity: number): readonly (readonly number[])[] {
  const count = lengths.length;
  let leaves = 1;
  while (leaves < count) leaves *= 2;
  const free = new Float64Array(2 * leaves).fill(capacity);
  const freeAt = (node: number): number => free[node] ?? 0;
  const bins: number[][] = [];
  for (let item = 0; item < count; item++) {
    const length = lengths[item] ?? 0;
    assert(length > 0 && length <= capacity, "an item fits into an empty bin", length, capacity);
    let node = 1;
    while (node < leaves) node = freeAt(2 * node) >= length ? 2 * node : 2 * node + 1;
    const bin = node - leaves;
    const items = bins[bin];
    if (items === undefined) bins.push([item]);
    else items.push(item);
    free[node] = freeAt(node) - length;
    for (node >>= 1; node > 0; node >>= 1) free[node] = Math.max(freeAt(2 * node), freeAt(2 * node + 1));
  }
  return bins;
}
