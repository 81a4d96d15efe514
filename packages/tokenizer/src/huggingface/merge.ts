import { ensure } from "@lapidary/std";
import { NumberHeap } from "../number-heap.js";
import type { MergeTable } from "./merge-table.js";

/** Longer words use a heap to find the next merge; words of at most this many symbols are scanned. */
const maxScanLength = 24;

/**
 * Applies the merge of the lowest rank, the leftmost of them, until none applies.
 *
 * @param ids of the characters of one word; the result may be the same array
 */
export function mergeAll(ids: number[], merges: MergeTable): number[] {
  return ids.length <= maxScanLength ? mergeByScan(ids, merges) : mergeByHeap(ids, merges);
}

function mergeByScan(ids: number[], merges: MergeTable): number[] {
  for (;;) {
    let best = Infinity;
    let at = -1;
    for (let i = 0; i + 1 < ids.length; i++) {
      const rank = merges.rank(ensure(ids[i], "id"), ensure(ids[i + 1], "id"));
      if (rank >= 0 && rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return ids;
    ids.splice(at, 2, merges.mergedId(best));
  }
}

/** A heap entry is one number, `rank * positions + position`: numbers are ordered by rank, then by position. */
const positions = 2 ** 31;

/** A linked list of symbols and a heap of possible merges: the time is n log n in the length of the word. */
function mergeByHeap(ids: readonly number[], merges: MergeTable): number[] {
  const symbols = Int32Array.from(ids);
  const length = symbols.length;
  const next = Int32Array.from(symbols, (_, i) => i + 1);
  const previous = Int32Array.from(symbols, (_, i) => i - 1);
  const heap = new NumberHeap(length);
  const pushMerge = (left: number, right: number): void => {
    if (left < 0 || right >= length) return;
    const rank = merges.rank(symbols[left] ?? 0, symbols[right] ?? 0);
    if (rank >= 0) heap.push(rank * positions + left);
  };
  for (let i = 0; i + 1 < length; i++) pushMerge(i, i + 1);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const left = top % positions;
    const right = next[left] ?? length;
    // A symbol that was merged into its left neighbour is -1. The entry is stale if the pair has changed since.
    if ((symbols[left] ?? -1) < 0 || right >= length) continue;
    const mergedId = merges.mergedId(Math.floor(top / positions));
    const rank = merges.rank(symbols[left] ?? 0, symbols[right] ?? 0);
    if (rank < 0 || merges.mergedId(rank) !== mergedId) continue;
    symbols[left] = mergedId;
    symbols[right] = -1;
    const after = next[right] ?? length;
    next[left] = after;
    if (after < length) previous[after] = left;
    pushMerge(previous[left] ?? -1, left);
    pushMerge(left, after);
  }
  const merged: number[] = [];
  for (const id of symbols) if (id >= 0) merged.push(id);
  return merged;
}
