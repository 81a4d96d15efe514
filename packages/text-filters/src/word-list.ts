import { isSymbolWord } from "./punctuation.js";
import type { WordSplitter } from "./words.js";

/** The multiplier of the rolling hash; odd, so that powers stay invertible modulo 2^32. */
export const base = 0x01000193;

/** Bits of a UTF-16 unit. A unit without bits was not seen before. */
const [known, joined, single, letter, symbol] = [1, 2, 4, 8, 16];
const letters = /\p{L}/u;

/** Memory for documents of the usual size; it grows for longer ones. */
const firstCapacity = 1 << 12;

/**
 * The words of one text, in arrays that the next text uses again, so that a word is not a string. Words that are equal have one number, from 0 in the order
 * of their first occurrence.
 *
 *     text     to be  or not to be          joined  tobeornot…       ids      0 1 2 3 0 1
 *     offsets  0  2 4 6 9 …                 of joined                times    2 2 1 1
 */
export class WordList {
  readonly #splitter: WordSplitter;
  readonly #bits = new Uint8Array(0x10000);
  /** Number of words, and of different words. */
  count = 0;
  distinct = 0;
  /** Code points of the text. */
  textCharacters = 0;
  /** UTF-16 units of all words, without the text between them. */
  joined = new Uint16Array(firstCapacity);
  /** Of each word: its number, and its offset in `joined`; one more than words. */
  ids = new Int32Array(firstCapacity);
  offsets = new Int32Array(firstCapacity);
  /** Of each different word: its occurrences, code points and hash, its first offset, and its length in `joined`. */
  times = new Int32Array(firstCapacity);
  characters = new Int32Array(firstCapacity);
  hashes = new Int32Array(firstCapacity);
  #starts = new Int32Array(firstCapacity);
  #lengths = new Int32Array(firstCapacity);
  /** Whether a different word has only punctuation, and whether it has a letter. */
  isSymbol = new Uint8Array(firstCapacity);
  hasLetter = new Uint8Array(firstCapacity);
  /** Open addressing: the number of a different word plus 1. */
  #slots = new Int32Array(2 * firstCapacity);
  #mask = 2 * firstCapacity - 1;

  constructor(splitter: WordSplitter) {
    this.#splitter = splitter;
  }

  read(text: string): void {
    this.#reserve(text.length);
    const [bits, units] = [this.#bits, this.joined];
    [this.count, this.distinct] = [0, 0];
    let [size, start, hash, points, wordBits, pairs] = [0, 0, 0, 0, symbol, 0];
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      let found = bits[unit] ?? 0;
      let low = 0;
      if (found === 0 || (unit & 0xfc00) === 0xd800) {
        const codePoint = text.codePointAt(at) ?? unit;
        if (codePoint > 0xffff) {
          found = this.#bitsOf(codePoint);
          low = text.charCodeAt(++at);
          pairs++;
        } else bits[unit] = found = this.#bitsOf(unit);
      }
      if ((found & joined) === 0 && size > start) {
        this.#add(start, size, hash, points, wordBits);
        start = size;
      }
      if ((found & (joined | single)) === 0) continue;
      if (size === start) [hash, points, wordBits] = [0, 0, symbol];
      units[size++] = unit;
      hash = (Math.imul(hash, base) + unit + 1) | 0;
      if (low !== 0) {
        units[size++] = low;
        hash = (Math.imul(hash, base) + low + 1) | 0;
      }
      points++;
      wordBits = (wordBits & (found | ~symbol)) | (found & letter);
      if ((found & single) !== 0) {
        this.#add(start, size, hash, points, wordBits);
        start = size;
      }
    }
    if (size > start) this.#add(start, size, hash, points, wordBits);
    this.offsets[this.count] = size;
    this.textCharacters = text.length - pairs;
  }

  /** Whether the text has the word. */
  has(word: string): boolean {
    let hash = 0;
    for (let i = 0; i < word.length; i++) hash = (Math.imul(hash, base) + word.charCodeAt(i) + 1) | 0;
    for (let slot = slotOf(hash) & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const id = (this.#slots[slot] ?? 0) - 1;
      if (id < 0) return false;
      if (this.hashes[id] === hash && this.#lengths[id] === word.length && this.#isWord(id, word)) return true;
    }
  }

  #isWord(id: number, word: string): boolean {
    const start = this.#starts[id] ?? 0;
    for (let i = 0; i < word.length; i++) if (this.joined[start + i] !== word.charCodeAt(i)) return false;
    return true;
  }

  #add(start: number, end: number, hash: number, points: number, wordBits: number): void {
    const id = this.#idOf(start, end, hash, points, wordBits);
    this.times[id] = (this.times[id] ?? 0) + 1;
    this.ids[this.count] = id;
    this.offsets[this.count++] = start;
  }

  #idOf(start: number, end: number, hash: number, points: number, wordBits: number): number {
    const [slots, hashes, units, length] = [this.#slots, this.hashes, this.joined, end - start];
    let slot = slotOf(hash) & this.#mask;
    search: for (; ; slot = (slot + 1) & this.#mask) {
      const id = (slots[slot] ?? 0) - 1;
      if (id < 0) break;
      if (hashes[id] !== hash || this.#lengths[id] !== length) continue;
      for (let i = start, other = this.#starts[id] ?? 0; i < end; i++, other++) if (units[i] !== units[other]) continue search;
      return id;
    }
    const id = this.distinct++;
    slots[slot] = id + 1;
    hashes[id] = hash;
    this.#starts[id] = start;
    this.#lengths[id] = length;
    this.times[id] = 0;
    this.characters[id] = points;
    this.isSymbol[id] = (wordBits & symbol) === 0 ? 0 : 1;
    this.hasLetter[id] = (wordBits & letter) === 0 ? 0 : 1;
    return id;
  }

  #bitsOf(codePoint: number): number {
    const character = String.fromCodePoint(codePoint);
    const role = this.#splitter.roleOf(codePoint);
    const roleBits = role === "joined" ? joined : role === "single" ? single : 0;
    return known | roleBits | (letters.test(character) ? letter : 0) | (isSymbolWord(character) ? symbol : 0);
  }

  /** A text has at most so many words as units. */
  #reserve(length: number): void {
    if (length >= this.joined.length) {
      const size = 2 * length;
      this.joined = new Uint16Array(size);
      [this.ids, this.offsets, this.times] = [new Int32Array(size), new Int32Array(size), new Int32Array(size)];
      [this.characters, this.hashes] = [new Int32Array(size), new Int32Array(size)];
      [this.#starts, this.#lengths] = [new Int32Array(size), new Int32Array(size)];
      [this.isSymbol, this.hasLetter] = [new Uint8Array(size), new Uint8Array(size)];
    }
    // English has a word for each 5 characters, and at most one for each.
    this.#mask = slotMask(length);
    if (this.#slots.length <= this.#mask) this.#slots = new Int32Array(this.#mask + 1);
    else this.#slots.fill(0, 0, this.#mask + 1);
  }
}

/** The greatest slot of a table that is at most half full. */
export const slotMask = (entries: number): number => 2 ** (32 - Math.clz32(2 * entries + 1)) - 1;

/** A slot of a table, before the mask. */
export function slotOf(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return mixed ^ (mixed >>> 13);
}
