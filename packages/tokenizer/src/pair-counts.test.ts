import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { barrier, PairCounts } from "./pair-counts.js";
import { firstPieceId } from "./vocabulary.js";

const [a, b, c] = [firstPieceId, firstPieceId + 1, firstPieceId + 2];

/** The counts of one word that occurs once, and the number of reads of the length of a piece. */
function countsOf(word: readonly number[]): { readonly counts: PairCounts; readonly ids: Int32Array; reads(): number } {
  const ids = Int32Array.of(barrier, ...word, barrier);
  let reads = 0;
  const lengthOf = (id: number): number => {
    reads++;
    return id > c ? 2 : 1;
  };
  const counts = new PairCounts({ ids, weights: new Int32Array(ids.length).fill(1) }, { lengthOf, allowed: () => true });
  return { counts, ids, reads: () => reads };
}

describe("pair counts", () => {
  it("a merge reads only the positions of its pair, not the words around them", () => {
    const filler = Array.from({ length: 10_000 }, () => [a, c, b]).flat();
    const { counts, reads } = countsOf([a, b, ...filler, c, a, b, ...filler, a, b]);
    const before = reads();
    counts.merge(a, b, c + 1);
    ok(reads() - before <= 3 * 2, `read ${reads() - before} lengths for 3 places`);
  });

  it("the left two of three equal pieces merge", () => {
    const { counts, ids } = countsOf([a, a, a, b, a, a, a]);
    counts.merge(a, a, c + 1);
    deepStrictEqual(
      [...ids].filter((id) => id > 0),
      [c + 1, a, b, c + 1, a],
    );
    strictEqual(counts.next(2)?.join(), `${c + 1},${a}`);
  });
});
