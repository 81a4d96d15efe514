import { type Piece, PieceType } from "./model-proto.js";
import { PieceTrie } from "./piece-trie.js";
import type { Segmenter } from "./segmenter.js";

/** How much lower an unknown character scores than the lowest piece. */
const unknownPenalty = 10;
/** Where the total of a path exceeds this, the reference subtracts it from all totals, because floats lose precision. */
const resetThreshold = 100_000;
const noPiece = -1;

/**
 * The segmentation of the highest total score (`EncodeOptimized` in unigram_model.cc), by the algorithm of Viterbi. Sums have the precision of the
 * reference, 32 bits, because a rounded sum can decide between two segmentations. The time is linear in the text.
 */
export class UnigramSegmenter implements Segmenter {
  readonly #trie = new PieceTrie();
  /** The score of each piece; NaN for an unused piece. */
  readonly #scores: Float64Array;
  readonly #isUserDefined: Uint8Array;
  readonly #unknownScore: number;

  /** @param ids of the pieces, by their texts */
  constructor(pieces: readonly Piece[], ids: ReadonlyMap<string, number>) {
    this.#scores = Float64Array.from(pieces, ({ score, type }) => (type === PieceType.unused ? Number.NaN : score));
    this.#isUserDefined = Uint8Array.from(pieces, ({ type }) => Number(type === PieceType.userDefined));
    for (const [text, id] of ids) this.#trie.add(text, id);
    const lowest = pieces.reduce((least, { score, type }) => (type === PieceType.normal ? Math.min(least, score) : least), Infinity);
    this.#unknownScore = Math.fround(lowest - unknownPenalty);
  }

  segment(text: string, ids: number[], unknown: (character: string) => void): void {
    const { starts, pieces } = this.#bestPath(text);
    const ends: number[] = [];
    for (let end = text.length; end > 0; end = starts[end] ?? 0) ends.push(end);
    for (const end of ends.reverse()) {
      const piece = pieces[end] ?? noPiece;
      if (piece >= 0) ids.push(piece);
      else unknown(text.slice(starts[end], end));
    }
  }

  /** For each position: the start and the id of the last piece of the best segmentation that ends there. */
  #bestPath(text: string): { readonly starts: Int32Array; readonly pieces: Int32Array } {
    const length = text.length;
    const best = new Float32Array(length + 1);
    const starts = new Int32Array(length + 1).fill(-1);
    const pieces = new Int32Array(length + 1);
    let frontier = 0;
    for (let start = 0; start < length; ) {
      if (Math.abs(best[start] ?? 0) > resetThreshold) rebase(best, start, frontier);
      const here = best[start] ?? 0;
      const extend = (end: number, piece: number, score: number): void => {
        const total = Math.fround(score + here);
        frontier = Math.max(frontier, end);
        if (starts[end] !== -1 && total <= (best[end] ?? 0)) return;
        [best[end], starts[end], pieces[end]] = [total, start, piece];
      };
      const next = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      let isPiece = false;
      for (let node = 0, end = start; end < length; ) {
        node = this.#trie.next(node, text.charCodeAt(end++));
        if (node < 0) break;
        const piece = this.#trie.idAt(node);
        const score = piece < 0 ? Number.NaN : this.#scoreOf(piece, text, start, end);
        if (Number.isNaN(score)) continue;
        extend(end, piece, score);
        if (end === next) isPiece = true;
      }
      if (!isPiece) extend(next, noPiece, this.#unknownScore);
      start = next;
    }
    return { starts, pieces };
  }

  /** A symbol that a user defined scores higher than other pieces, by its bytes. */
  #scoreOf(piece: number, text: string, start: number, end: number): number {
    if (this.#isUserDefined[piece] !== 1) return this.#scores[piece] ?? Number.NaN;
    return Math.fround(0.1 * (Buffer.byteLength(text.slice(start, end)) - 1));
  }
}

/** Subtracts the total at `start` from those at `start` to `end`. Positions without a path have no total. */
function rebase(best: Float32Array, start: number, end: number): void {
  const offset = best[start] ?? 0;
  for (let i = start; i <= end; i++) best[i] = (best[i] ?? 0) - offset;
}
