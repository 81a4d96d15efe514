import { isInTexts, type Piece, PieceType } from "./model-proto.js";
import { Neighbors } from "./neighbors.js";
import { PartCache } from "./part-cache.js";
import { PieceTrie } from "./piece-trie.js";
import type { Segmenter } from "./segmenter.js";
import { codePointAt, type TextUnits } from "./text-units.js";

/** How much lower an unknown character scores than the lowest piece. */
const unknownPenalty = 10;
/** Where the total of a path exceeds this, the reference subtracts it from all totals, because floats lose precision. */
const resetThreshold = 100_000;
const noPiece = -1;
/** Longer parts are not cached. */
const maxCachedLength = 64;
/** Half the distance of adjacent floats, relative to the number. */
const rounding = 2 ** -24;

/**
 * The segmentation of the highest total score (`EncodeOptimized` in unigram_model.cc), by the algorithm of Viterbi. Sums have the precision of the
 * reference, 32 bits, because a rounded sum can decide between two segmentations. The time is linear in the text.
 *
 * No piece joins the characters at a boundary of parts (see `Neighbors`), so each segmentation of a text consists of segmentations of its parts. The best
 * one of a part depends on the text before it only by the rounding of sums. So a cached segmentation is used if its lead over all others is larger than
 * what rounding can change:
 *
 *     lead of each choice on the best path  >  roundings of both sums  =  2 · characters · |total| · 2⁻²⁴
 */
export class UnigramSegmenter implements Segmenter {
  readonly #trie: PieceTrie;
  readonly #neighbors: Neighbors;
  /** The score of each piece, also of symbols that a user defined; NaN for an unused piece. */
  readonly #scores: Float64Array;
  readonly #unknownScore: number;
  /** No score of one character is further from 0. */
  readonly #maxScore: number;
  /**
   * Of each part: the least lead of a choice on its best path, without the error of the sums that it was measured with; then its symbols, each with its
   * score. Leads and scores are floats.
   */
  readonly #cache = new PartCache();
  /** For each position of a part: the best total, its lead over the next one, and the start and the piece of its last step. */
  #best = new Float32Array(0);
  #lead = new Float64Array(0);
  #starts = new Int32Array(0);
  #pieces = new Int32Array(0);
  /** The symbols of the part that was segmented last: pieces, or the number of pieces plus the code point of an unknown character. */
  #symbols = new Int32Array(0);
  readonly #record = new Int32Array(1 + 2 * maxCachedLength);

  constructor(pieces: readonly Piece[]) {
    this.#scores = Float64Array.from(pieces, scoreOf);
    this.#trie = new PieceTrie(2 * pieces.length);
    for (const [id, piece] of pieces.entries()) if (isInTexts(piece)) this.#trie.add(piece.text, id);
    this.#neighbors = new Neighbors(pieces);
    const lowest = pieces.reduce((least, { score, type }) => (type === PieceType.normal ? Math.min(least, score) : least), Infinity);
    this.#unknownScore = Math.fround(lowest - unknownPenalty);
    this.#maxScore = this.#scores.reduce((most, score) => (Math.abs(score) > most ? Math.abs(score) : most), Math.abs(this.#unknownScore));
  }

  segment(text: TextUnits, ids: number[], unknown: (character: string) => void): void {
    const output = { ids, unknown };
    const neighbors = this.#neighbors;
    const { units, length } = text;
    let [start, hash, before, total] = [0, 0, 0, 0];
    for (let at = 0; at < length; at++) {
      const unit = units[at] ?? 0;
      const kind = Neighbors.classOf(unit);
      if (at > start && !neighbors.mayJoin(before, kind)) {
        total = this.#append(units, start, at, hash, total, output);
        [start, hash] = [at, 0];
      }
      before = kind;
      hash = Math.imul(hash ^ unit, 0x01000193);
    }
    if (start < length) this.#append(units, start, length, hash, total, output);
  }

  /** Appends the ids of a part. Returns the total of the text up to its end. */
  #append(text: Uint16Array, start: number, end: number, hash: number, total: number, output: Output): number {
    const length = end - start;
    const error = this.#errorOf(length, total);
    const cache = length <= maxCachedLength && error < Infinity ? this.#cache : undefined;
    const known = cache?.find(text, start, end, hash) ?? noPiece;
    if (cache !== undefined && known >= 0 && (cache.floats[known] ?? 0) > error) return this.#pushCached(cache, known, total, output);
    const ended = this.#bestPath(text, start, end, total);
    const count = this.#readPath(text, start, length);
    this.#push(this.#symbols, count, output);
    const lead = this.#leastLead(length) - error;
    if (cache !== undefined && known < 0 && lead > 0) cache.add(text, start, end, hash, this.#recordOf(count, lead));
    return ended;
  }

  /** What is cached of a part, in a buffer that the next call overwrites. */
  #recordOf(count: number, lead: number): Int32Array {
    const record = this.#record;
    const floats = new Float32Array(record.buffer);
    // A float may be larger than the lead: the factor is more than one rounding.
    floats[0] = lead * (1 - 4 * rounding);
    for (let i = 0; i < count; i++) {
      const symbol = this.#symbols[i] ?? 0;
      record[1 + 2 * i] = symbol;
      floats[2 + 2 * i] = symbol < this.#scores.length ? (this.#scores[symbol] ?? 0) : this.#unknownScore;
    }
    return record.subarray(0, 1 + 2 * count);
  }

  /** Appends the symbols of a cached part, and adds their scores to the total as the reference does. */
  #pushCached(cache: PartCache, part: number, total: number, { ids, unknown }: Output): number {
    const { numbers, floats } = cache;
    const pieces = this.#scores.length;
    const end = cache.endOf(part);
    let sum = total;
    for (let i = part + 1; i < end; i += 2) {
      const symbol = numbers[i] ?? 0;
      if (symbol < pieces) ids.push(symbol);
      else unknown(String.fromCodePoint(symbol - pieces));
      sum = Math.fround((floats[i + 1] ?? 0) + sum);
    }
    return sum;
  }

  /** By how much two totals at the end of a part can be wrong together; infinite if the reference may rebase its totals within the part. */
  #errorOf(length: number, total: number): number {
    const largest = Math.abs(total) + length * this.#maxScore;
    return largest < resetThreshold ? 2 * length * largest * rounding : Infinity;
  }

  #push(symbols: Int32Array, count: number, { ids, unknown }: Output): void {
    const pieces = this.#scores.length;
    for (let i = 0; i < count; i++) {
      const symbol = symbols[i] ?? 0;
      if (symbol < pieces) ids.push(symbol);
      else unknown(String.fromCodePoint(symbol - pieces));
    }
  }

  /** Fills the arrays of positions. Returns the best total at the end. */
  #bestPath(text: Uint16Array, partStart: number, partEnd: number, total: number): number {
    const length = partEnd - partStart;
    this.#reserve(length);
    const [best, lead, starts, pieces, trie, scores] = [this.#best, this.#lead, this.#starts, this.#pieces, this.#trie, this.#scores];
    starts.fill(-1, 0, length + 1);
    best[0] = total;
    let frontier = 0;
    for (let start = 0; start < length; ) {
      if (Math.abs(best[start] ?? 0) > resetThreshold) rebase(best, start, frontier);
      const here = best[start] ?? 0;
      const next = start + (codePointAt(text, partStart + start, partEnd) > 0xffff ? 2 : 1);
      let isPiece = false;
      for (let node = 0, end = start; ; ) {
        let piece = noPiece;
        let score = this.#unknownScore;
        node = end < length ? trie.next(node, text[partStart + end++] ?? 0) : noPiece;
        if (node < 0) {
          if (isPiece) break;
          // A character without a piece is unknown.
          [end, isPiece] = [next, true];
        } else {
          piece = trie.idAt(node);
          if (piece < 0) continue;
          score = scores[piece] ?? Number.NaN;
          if (score !== score) continue;
          if (end === next) isPiece = true;
        }
        const sum = Math.fround(score + here);
        if (end > frontier) frontier = end;
        if (starts[end] === -1) lead[end] = Infinity;
        else {
          const difference = sum - (best[end] ?? 0);
          if (difference <= 0) {
            if (-difference < (lead[end] ?? 0)) lead[end] = -difference;
            if (node < 0) break;
            continue;
          }
          lead[end] = difference;
        }
        best[end] = sum;
        starts[end] = start;
        pieces[end] = piece;
        if (node < 0) break;
      }
      start = next;
    }
    return best[length] ?? 0;
  }

  /** The symbols of the best path. Returns their number. */
  #readPath(text: Uint16Array, partStart: number, length: number): number {
    let count = 0;
    for (let end = length; end > 0; end = this.#starts[end] ?? 0) count++;
    let at = count;
    for (let end = length; end > 0; ) {
      const start = this.#starts[end] ?? 0;
      const piece = this.#pieces[end] ?? noPiece;
      this.#symbols[--at] = piece >= 0 ? piece : this.#scores.length + codePointAt(text, partStart + start, partStart + length);
      end = start;
    }
    return count;
  }

  #leastLead(length: number): number {
    let least = Infinity;
    for (let end = length; end > 0; end = this.#starts[end] ?? 0) least = Math.min(least, this.#lead[end] ?? 0);
    return least;
  }

  #reserve(length: number): void {
    if (this.#starts.length > length) return;
    const size = Math.max(2 * this.#starts.length, length + 1, 256);
    [this.#best, this.#lead, this.#symbols] = [new Float32Array(size), new Float64Array(size), new Int32Array(size)];
    [this.#starts, this.#pieces] = [new Int32Array(size), new Int32Array(size)];
  }
}

/** What receives the ids of a text. */
interface Output {
  readonly ids: number[];
  readonly unknown: (character: string) => void;
}

/** A symbol that a user defined scores higher than other pieces, by its bytes. */
function scoreOf({ text, score, type }: Piece): number {
  if (type === PieceType.unused) return Number.NaN;
  return type === PieceType.userDefined ? Math.fround(0.1 * (Buffer.byteLength(text) - 1)) : score;
}

/** Subtracts the total at `start` from those at `start` to `end`. Positions without a path have no total. */
function rebase(best: Float32Array, start: number, end: number): void {
  const offset = best[start] ?? 0;
  for (let i = start; i <= end; i++) best[i] = (best[i] ?? 0) - offset;
}
