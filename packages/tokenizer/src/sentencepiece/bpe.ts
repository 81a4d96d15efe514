import { NumberHeap } from "../number-heap.js";
import { type Piece, PieceType } from "./model-proto.js";
import { Neighbors } from "./neighbors.js";
import { noPiece, PairPieces } from "./pair-pieces.js";
import { PieceTrie } from "./piece-trie.js";
import type { Segmenter } from "./segmenter.js";

/** Maximum number of cached parts and their maximum length. A full cache is cleared. */
const [cacheSize, longestCached] = [1 << 17, 32];
/** Parts of more symbols use a heap to find the next merge. */
const maxScanLength = 24;
/** A heap entry is one number, `rank * positions + position`: numbers are ordered by rank, then by position. */
const positions = 2 ** 31;
const noRank = 2 ** 31 - 1;

/**
 * Byte-pair encoding as in SentencePiece (bpe_model.cc): the characters of a text are symbols, and of all adjacent symbols whose concatenation is
 * a piece, those with the highest score merge first, the leftmost of them. Symbols that a user defined never merge.
 *
 * The time is n log n in the length of a part without a split (see `Neighbors`), and linear in the number of parts.
 */
export class BpeSegmenter implements Segmenter {
  readonly #pieces: readonly Piece[];
  readonly #ids: ReadonlyMap<string, number>;
  /** The order of merges: equal scores have equal ranks, and the highest score has rank 0. */
  readonly #ranks: Int32Array;
  readonly #symbols: PieceTrie;
  readonly #neighbors: Neighbors;
  readonly #pairs: PairPieces;
  readonly #cache = new Map<string, Int32Array>();
  /** Pieces that merge but are not ids. They are split again in the end. */
  readonly #hasUnused: boolean;
  /** For an unused piece: the last pair of the text that can become it. */
  readonly #splits = new Map<number, readonly [left: number, right: number]>();

  /**
   * @param ids of the pieces that merge, by their texts
   * @param symbols that a user defined
   */
  constructor(pieces: readonly Piece[], ids: ReadonlyMap<string, number>, symbols: PieceTrie) {
    [this.#pieces, this.#ids, this.#symbols] = [pieces, ids, symbols];
    this.#ranks = ranksOf(pieces);
    this.#hasUnused = pieces.some(({ type }) => type === PieceType.unused);
    this.#neighbors = new Neighbors(ids.keys());
    this.#pairs = new PairPieces((left, right) => ids.get(this.#text(left) + this.#text(right)) ?? noPiece);
  }

  segment(text: string, ids: number[], unknown: (character: string) => void): void {
    const { starts } = this.#symbols;
    const part = (start: number, end: number): void => {
      if (start < end) this.#appendPart(text, start, end, ids, unknown);
    };
    let start = 0;
    let before = 0;
    for (let at = 0; at < text.length; ) {
      const unit = text.charCodeAt(at);
      const end = starts[unit] === 1 ? this.#symbols.longestEnd(text, at) : at;
      if (end > at) {
        part(start, at);
        ids.push(this.#ids.get(text.slice(at, end)) ?? noPiece);
        start = at = end;
        continue;
      }
      if (at > start && !this.#hasUnused && !this.#neighbors.mayJoin(before, unit)) {
        part(start, at);
        start = at;
      }
      before = unit;
      at += unit >= 0xd800 && unit <= 0xdbff ? 2 : 1;
      if (at > text.length) at = text.length;
    }
    part(start, text.length);
  }

  #appendPart(text: string, start: number, end: number, ids: number[], unknown: (character: string) => void): void {
    const part = text.slice(start, end);
    const isCached = part.length <= longestCached && !this.#hasUnused;
    let symbols = isCached ? this.#cache.get(part) : undefined;
    if (symbols === undefined) {
      symbols = this.#merged(part);
      if (isCached) this.#remember(part, symbols);
    }
    for (const symbol of symbols) {
      if (symbol < this.#pieces.length) ids.push(symbol);
      else unknown(this.#text(symbol));
    }
  }

  #remember(part: string, symbols: Int32Array): void {
    if (this.#cache.size >= cacheSize) this.#cache.clear();
    // A copy, because a slice would keep the whole long text in memory.
    this.#cache.set(Buffer.from(part, "utf16le").toString("utf16le"), symbols);
  }

  #merged(part: string): Int32Array {
    const symbols = this.#spell(part);
    this.#splits.clear();
    const merged = symbols.length <= maxScanLength ? this.#mergeByScan(symbols) : this.#mergeByHeap(symbols);
    if (!this.#hasUnused) return Int32Array.from(merged);
    const used: number[] = [];
    for (const symbol of merged) this.#appendUsed(symbol, used);
    return Int32Array.from(used);
  }

  /** The id of each character; a character that is not a piece is the number of pieces plus its code point. */
  #spell(part: string): number[] {
    const symbols: number[] = [];
    for (const character of part) symbols.push(this.#ids.get(character) ?? this.#pieces.length + (character.codePointAt(0) ?? 0));
    return symbols;
  }

  #text(symbol: number): string {
    return this.#pieces[symbol]?.text ?? String.fromCodePoint(symbol - this.#pieces.length);
  }

  /** The piece that two adjacent symbols become; −1 if there is none. */
  #pieceOf(left: number, right: number): number {
    const piece = this.#pairs.of(left, right);
    if (this.#hasUnused && this.#pieces[piece]?.type === PieceType.unused) this.#splits.set(piece, [left, right]);
    return piece;
  }

  #mergeByScan(symbols: number[]): number[] {
    const pieces: number[] = [];
    for (let i = 0; i + 1 < symbols.length; i++) pieces.push(this.#pieceOf(symbols[i] ?? 0, symbols[i + 1] ?? 0));
    for (;;) {
      let best = noRank;
      let at = -1;
      for (let i = 0; i < pieces.length; i++) {
        const rank = this.#ranks[pieces[i] ?? noPiece] ?? noRank;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return symbols;
      symbols.splice(at, 2, pieces[at] ?? 0);
      pieces.splice(at, 1);
      if (at > 0) pieces[at - 1] = this.#pieceOf(symbols[at - 1] ?? 0, symbols[at] ?? 0);
      if (at < pieces.length) pieces[at] = this.#pieceOf(symbols[at] ?? 0, symbols[at + 1] ?? 0);
    }
  }

  /** A linked list of symbols and a heap of possible merges: the time is n log n in the length of the part. */
  #mergeByHeap(characters: readonly number[]): number[] {
    const symbols = Int32Array.from(characters);
    const length = symbols.length;
    const next = Int32Array.from(symbols, (_, i) => i + 1);
    const previous = Int32Array.from(symbols, (_, i) => i - 1);
    const heap = new NumberHeap(length);
    const push = (left: number, right: number): void => {
      if (left < 0 || right >= length) return;
      const piece = this.#pieceOf(symbols[left] ?? 0, symbols[right] ?? 0);
      if (piece >= 0) heap.push((this.#ranks[piece] ?? noRank) * positions + left);
    };
    for (let i = 0; i + 1 < length; i++) push(i, i + 1);
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const left = top % positions;
      const right = next[left] ?? length;
      // A symbol that was merged into its left neighbour is -1. The entry is stale if the pair has changed since.
      if ((symbols[left] ?? -1) < 0 || right >= length) continue;
      const piece = this.#pairs.of(symbols[left] ?? 0, symbols[right] ?? 0);
      if (piece < 0 || this.#ranks[piece] !== Math.floor(top / positions)) continue;
      symbols[left] = piece;
      symbols[right] = -1;
      const after = next[right] ?? length;
      next[left] = after;
      if (after < length) previous[after] = left;
      push(previous[left] ?? -1, left);
      push(left, after);
    }
    return Array.from(symbols.filter((symbol) => symbol >= 0));
  }

  /** Splits unused pieces into the symbols that merged to them. */
  #appendUsed(symbol: number, used: number[]): void {
    const split = this.#pieces[symbol]?.type === PieceType.unused ? this.#splits.get(symbol) : undefined;
    if (split === undefined) used.push(symbol);
    else for (const half of split) this.#appendUsed(half, used);
  }
}

function ranksOf(pieces: readonly Piece[]): Int32Array {
  const scores = [...new Set(pieces.map(({ score }) => score))].sort((a, b) => b - a);
  const rank = new Map(scores.map((score, i) => [score, i]));
  return Int32Array.from(pieces, ({ score }) => rank.get(score) ?? noRank);
}
