import { NumberHeap } from "../number-heap.js";
import { type Piece, PieceType } from "./model-proto.js";
import { Neighbors } from "./neighbors.js";
import { PartCache } from "./part-cache.js";
import type { PieceIds } from "./piece-ids.js";
import { noPiece, PieceTable } from "./piece-table.js";
import type { PieceTrie } from "./piece-trie.js";
import type { Segmenter } from "./segmenter.js";
import { codePointAt, type TextUnits } from "./text-units.js";

/** Parts of more characters use a heap to find the next merge, and are not cached. */
const maxScanLength = 64;
/** A heap entry is one number, `rank * positions + position`: numbers are ordered by rank, then by position. */
const positions = 2 ** 31;
const noRank = 2 ** 31 - 1;
/** The reference splits an unused piece at most so often. */
const maxSplits = 100;

/**
 * Byte-pair encoding as in SentencePiece (bpe_model.cc): the characters of a text are symbols, and of all adjacent symbols whose concatenation is
 * a piece, those with the highest score merge first, the leftmost of them. Symbols that a user defined never merge.
 *
 * The time is n log n in the length of a part without a split (see `Neighbors`), and linear in the number of parts.
 */
export class BpeSegmenter implements Segmenter {
  readonly #pieces: readonly Piece[];
  readonly #table: PieceTable;
  /** The order of merges: equal scores have equal ranks, and the highest score has rank 0. */
  readonly #ranks: Int32Array;
  readonly #userDefined: PieceTrie;
  readonly #ids: PieceIds;
  readonly #neighbors: Neighbors;
  readonly #cache = new PartCache();
  /** Of the part that is merged: its symbols, and the piece of each symbol with the next one. */
  readonly #symbols = new Int32Array(maxScanLength);
  readonly #merges = new Int32Array(maxScanLength);
  /** Whether some pieces merge but are not ids. They are split again in the end. */
  readonly #hasUnused: boolean;
  /** For an unused piece: the last pair of the text that can become it. */
  readonly #splits = new Map<number, readonly [left: number, right: number]>();

  /**
   * @param ids of the pieces, by their texts
   * @param userDefined the symbols that a user defined
   */
  constructor(pieces: readonly Piece[], ids: PieceIds, userDefined: PieceTrie) {
    [this.#pieces, this.#ids, this.#userDefined] = [pieces, ids, userDefined];
    this.#table = new PieceTable(pieces);
    this.#ranks = ranksOf(pieces);
    this.#hasUnused = pieces.some(({ type }) => type === PieceType.unused);
    this.#neighbors = new Neighbors(pieces);
  }

  segment(text: TextUnits, ids: number[], unknown: (character: string) => void): void {
    const { starts } = this.#userDefined;
    const { units, length } = text;
    const unitAt = (at: number): number => units[at] ?? 0;
    let start = 0;
    let hash = 0;
    let before = 0;
    for (let at = 0; at < length; ) {
      const unit = units[at] ?? 0;
      const end = starts[unit] === 1 ? this.#userDefined.longestEnd(at, length, unitAt) : at;
      const kind = Neighbors.classOf(unit);
      if (at > start && (end > at || !(this.#neighbors.mayJoin(before, kind) || this.#hasUnused))) {
        this.#append(units, start, at, hash, ids, unknown);
        [start, hash] = [at, 0];
      }
      before = kind;
      if (end > at) {
        ids.push(this.#ids.get(text.slice(at, end)) ?? noPiece);
        start = at = end;
      } else {
        hash = Math.imul(hash ^ unit, 0x01000193);
        at++;
        // The second unit of a long character starts no symbol.
        if (unit >= 0xd800 && unit <= 0xdbff && at < length) hash = Math.imul(hash ^ (units[at++] ?? 0), 0x01000193);
      }
    }
    if (start < length) this.#append(units, start, length, hash, ids, unknown);
  }

  #append(text: Uint16Array, start: number, end: number, hash: number, ids: number[], unknown: (character: string) => void): void {
    if (end - start > maxScanLength || this.#hasUnused) {
      for (const symbol of this.#mergeByHeap(text.subarray(start, end))) this.#push(symbol, ids, unknown);
      return;
    }
    const cache = this.#cache;
    const known = cache.find(text, start, end, hash);
    const part = known >= 0 ? known : cache.add(text, start, end, hash, this.#mergeByScan(text, start, end));
    const last = cache.endOf(part);
    for (let i = part; i < last; i++) this.#push(cache.numbers[i] ?? 0, ids, unknown);
  }

  #push(symbol: number, ids: number[], unknown: (character: string) => void): void {
    if (symbol < this.#pieces.length) ids.push(symbol);
    else unknown(this.#table.textOf(symbol));
  }

  /** The symbols of a short part, in a buffer that the next call overwrites. */
  #mergeByScan(text: Uint16Array, start: number, end: number): Int32Array {
    const [symbols, merges, table, ranks] = [this.#symbols, this.#merges, this.#table, this.#ranks];
    let count = 0;
    for (let at = start; at < end; at++) {
      const codePoint = codePointAt(text, at, end);
      if (codePoint > 0xffff) at++;
      symbols[count++] = table.symbolOf(codePoint);
    }
    for (let i = 0; i + 1 < count; i++) merges[i] = table.find(symbols[i] ?? 0, symbols[i + 1] ?? 0);
    for (;;) {
      let best = noRank;
      let at = -1;
      for (let i = 0; i + 1 < count; i++) {
        const merge = merges[i] ?? noPiece;
        if (merge < 0) continue;
        const rank = ranks[merge] ?? noRank;
        if (rank < best) {
          best = rank;
          at = i;
        }
      }
      if (at < 0) return symbols.subarray(0, count);
      symbols[at] = merges[at] ?? 0;
      count--;
      for (let i = at + 1; i < count; i++) {
        symbols[i] = symbols[i + 1] ?? 0;
        merges[i - 1] = merges[i] ?? noPiece;
      }
      if (at > 0) merges[at - 1] = table.find(symbols[at - 1] ?? 0, symbols[at] ?? 0);
      if (at + 1 < count) merges[at] = table.find(symbols[at] ?? 0, symbols[at + 1] ?? 0);
    }
  }

  *#symbolsOf(part: Uint16Array): Generator<number> {
    for (let at = 0; at < part.length; at++) {
      const codePoint = codePointAt(part, at, part.length);
      if (codePoint > 0xffff) at++;
      yield this.#table.symbolOf(codePoint);
    }
  }

  /** A linked list of symbols and a heap of possible merges: the time is n log n in the length of the part. */
  #mergeByHeap(part: Uint16Array): number[] {
    const symbols = Int32Array.from(this.#symbolsOf(part));
    const length = symbols.length;
    const next = Int32Array.from(symbols, (_, i) => i + 1);
    const previous = Int32Array.from(symbols, (_, i) => i - 1);
    const heap = new NumberHeap(length);
    const push = (left: number, right: number): void => {
      if (left < 0 || right >= length) return;
      const piece = this.#table.find(symbols[left] ?? 0, symbols[right] ?? 0);
      if (piece < 0) return;
      heap.push((this.#ranks[piece] ?? noRank) * positions + left);
      if (this.#pieces[piece]?.type === PieceType.unused) this.#splits.set(piece, [symbols[left] ?? 0, symbols[right] ?? 0]);
    };
    for (let i = 0; i + 1 < length; i++) push(i, i + 1);
    for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
      const left = top % positions;
      const right = next[left] ?? length;
      // A symbol that was merged into its left neighbour is -1. The entry is stale if the pair has changed since.
      if ((symbols[left] ?? -1) < 0 || right >= length) continue;
      const piece = this.#table.find(symbols[left] ?? 0, symbols[right] ?? 0);
      if (piece < 0 || this.#ranks[piece] !== Math.floor(top / positions)) continue;
      symbols[left] = piece;
      symbols[right] = -1;
      const after = next[right] ?? length;
      next[left] = after;
      if (after < length) previous[after] = left;
      push(previous[left] ?? -1, left);
      push(left, after);
    }
    const used: number[] = [];
    for (const symbol of symbols) if (symbol >= 0) this.#appendUsed(symbol, used);
    this.#splits.clear();
    return used;
  }

  /** Appends a symbol, or instead of an unused piece the symbols that merged to it. An unused character is an unknown one. */
  #appendUsed(symbol: number, used: number[], depth = 0): void {
    const split = this.#splits.get(symbol);
    if (split !== undefined && depth <= maxSplits) for (const half of split) this.#appendUsed(half, used, depth + 1);
    else if (this.#pieces[symbol]?.type !== PieceType.unused || depth > maxSplits) used.push(symbol);
    else for (const character of this.#table.textOf(symbol)) used.push(this.#pieces.length + (character.codePointAt(0) ?? 0));
  }
}

function ranksOf(pieces: readonly Piece[]): Int32Array {
  const scores = [...new Set(pieces.map(({ score }) => score))].sort((a, b) => b - a);
  const rank = new Map(scores.map((score, i) => [score, i]));
  return Int32Array.from(pieces, ({ score }) => rank.get(score) ?? noRank);
}
