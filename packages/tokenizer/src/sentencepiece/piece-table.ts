import { isInTexts, type Piece } from "./model-proto.js";

/** The piece of a pair that is not a piece. */
export const noPiece = -1;

const base = 0x01000193;

/** A hash of text that composes: that of `ab` follows from those of `a` and `b` and the length of `b`. */
function hashOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, base) + text.charCodeAt(i) + 1) | 0;
  return hash;
}

/**
 * Finds the piece whose text is the concatenation of two symbols without building that text. A symbol is a piece, or a character that is not a
 * piece: the number of pieces plus its code point. An open-addressing table by the hash of the text.
 */
export class PieceTable {
  readonly #pieces: readonly Piece[];
  readonly #hashes: Int32Array;
  readonly #lengths: Uint32Array;
  /** `base` to the power of each length. */
  readonly #powers: Int32Array;
  /** Two numbers for each slot: the hash and the id of a piece. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  /** For each piece: the last two symbols that were found to be its halves, so that their texts are compared once. */
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  /** The symbol of each character of one UTF-16 unit. */
  readonly #characters: Int32Array;
  readonly #longCharacters = new Map<number, number>();

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
    this.#hashes = Int32Array.from(pieces, ({ text }) => hashOf(text));
    this.#lengths = Uint32Array.from(pieces, ({ text }) => text.length);
    this.#powers = powersTo(pieces.reduce((longest, { text }) => Math.max(longest, text.length), 0));
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, pieces.length) * 2));
    this.#slots = new Int32Array(2 * size).fill(noPiece);
    this.#mask = size - 1;
    [this.#left, this.#right] = [new Int32Array(pieces.length).fill(-1), new Int32Array(pieces.length).fill(-1)];
    this.#characters = Int32Array.from({ length: 0x10000 }, (_, unit) => pieces.length + unit);
    for (const [id, piece] of pieces.entries()) {
      if (!isInTexts(piece)) continue;
      const { text } = piece;
      const hash = this.#hashes[id] ?? 0;
      let slot = this.#slotOf(hash);
      while (this.#slots[2 * slot + 1] !== noPiece) slot = (slot + 1) & this.#mask;
      this.#slots[2 * slot] = hash;
      this.#slots[2 * slot + 1] = id;
      const codePoint = text.codePointAt(0) ?? 0;
      if (text.length === 1) this.#characters[codePoint] = id;
      else if (text.length === 2 && codePoint > 0xffff) this.#longCharacters.set(codePoint, id);
    }
  }

  /** The symbol of a character. */
  symbolOf(codePoint: number): number {
    if (codePoint <= 0xffff) return this.#characters[codePoint] ?? noPiece;
    return this.#longCharacters.get(codePoint) ?? this.#pieces.length + codePoint;
  }

  textOf(symbol: number): string {
    return this.#pieces[symbol]?.text ?? String.fromCodePoint(symbol - this.#pieces.length);
  }

  /** The piece of two adjacent symbols; `noPiece` if there is none. */
  find(left: number, right: number): number {
    const rightLength = this.#lengthOf(right);
    const length = this.#lengthOf(left) + rightLength;
    if (length >= this.#powers.length) return noPiece;
    const hash = (Math.imul(this.#hashOf(left), this.#powers[rightLength] ?? 0) + this.#hashOf(right)) | 0;
    for (let slot = this.#slotOf(hash); ; slot = (slot + 1) & this.#mask) {
      const piece = this.#slots[2 * slot + 1] ?? noPiece;
      if (piece === noPiece) return noPiece;
      if (this.#slots[2 * slot] === hash && this.#lengths[piece] === length && this.#isPair(piece, left, right)) return piece;
    }
  }

  #isPair(piece: number, left: number, right: number): boolean {
    if (this.#left[piece] === left && this.#right[piece] === right) return true;
    const text = this.textOf(piece);
    if (!text.startsWith(this.textOf(left)) || !text.endsWith(this.textOf(right))) return false;
    [this.#left[piece], this.#right[piece]] = [left, right];
    return true;
  }

  #hashOf(symbol: number): number {
    return symbol < this.#pieces.length ? (this.#hashes[symbol] ?? 0) : hashOf(this.textOf(symbol));
  }

  #lengthOf(symbol: number): number {
    if (symbol < this.#pieces.length) return this.#lengths[symbol] ?? 0;
    return symbol - this.#pieces.length > 0xffff ? 2 : 1;
  }

  #slotOf(hash: number): number {
    return (hash ^ (hash >>> 15)) & this.#mask;
  }
}

/** Powers of the base for lengths 0 to `longest`. */
function powersTo(longest: number): Int32Array {
  const powers = new Int32Array(longest + 1).fill(1);
  for (let i = 1; i <= longest; i++) powers[i] = Math.imul(powers[i - 1] ?? 1, base);
  return powers;
}
