import { ensure } from "@lapidary/std";

/** Number of consecutive words in a shingle. Two texts that share many shingles share text, independently of line breaks. */
const shingleWords = 8;
/** Maximum number of stored shingles, about 100 bytes of memory each. Of larger corpora every 2ᵏth shingle is stored. */
const maxShingles = 2 ** 21;
/** Two texts are in one group if they share this fraction of the shorter text. */
const groupOverlap = 0.2;

/**
 * Finds duplicate text by shingles of words (Broder 1997). Case, punctuation and line breaks do not count, so differently
 * wrapped copies of a licence are duplicates.
 */
export class NearDuplicates {
  /** Shingle → the first text that had it. */
  readonly #owners = new Map<number, number>();
  readonly #sizes: number[] = [];
  /** Union-find over texts: parent of each. */
  readonly #parents: number[] = [];
  readonly #sampleMask: number;

  /** @param expectedBytes of all texts: determines how many shingles are stored */
  constructor(expectedBytes: number) {
    const expectedShingles = expectedBytes / 6;
    this.#sampleMask = 2 ** Math.max(0, Math.ceil(Math.log2(expectedShingles / maxShingles))) - 1;
  }

  /** The shingles of a text, for `seenFraction` and `add`. */
  shingles(text: string): Shingles {
    return shingle(text, this.#sampleMask);
  }

  /** The fraction of the shingles that earlier texts have, from 0 (new) to 1 (duplicate). */
  seenFraction(shingles: Shingles): number {
    if (shingles.length === 0) return 0;
    let seen = 0;
    for (const value of shingles) if (this.#owners.has(value)) seen++;
    return seen / shingles.length;
  }

  /** Adds a text; its number is the count of texts added before. Merges it with the groups that it shares text with. */
  add(shingles: Shingles): number {
    const text = this.#sizes.length;
    this.#sizes.push(shingles.length);
    this.#parents.push(text);
    const shared = new Map<number, number>();
    for (const value of shingles) {
      const owner = this.#owners.get(value);
      if (owner === undefined) this.#owners.set(value, text);
      else if (owner !== text) shared.set(owner, (shared.get(owner) ?? 0) + 1);
    }
    for (const [owner, count] of shared)
      if (count >= groupOverlap * Math.min(shingles.length, ensure(this.#sizes[owner], "size"))) this.#join(owner, text);
    return text;
  }

  /** The group of a text, valid once all are added. */
  group(text: number): number {
    let root = text;
    for (;;) {
      const parent = ensure(this.#parents[root], "parent");
      if (parent === root) return root;
      const above = ensure(this.#parents[parent], "parent");
      this.#parents[root] = above; // path halving
      root = above;
    }
  }

  #join(a: number, b: number): void {
    const [x, y] = [this.group(a), this.group(b)];
    this.#parents[Math.max(x, y)] = Math.min(x, y);
  }
}

export type Shingles = readonly number[];

/** 31⁸ modulo 2³²: the factor of the word that leaves the window. */
const outgoingFactor = Array.from({ length: shingleWords }).reduce<number>((power) => Math.imul(power, 31), 1);

/** A text shorter than a shingle has one shingle, of all its words. */
function shingle(text: string, sampleMask: number): Shingles {
  const found: number[] = [];
  const window = new Int32Array(shingleWords);
  let rolling = 0;
  let words = 0;
  let word = 0;
  const endWord = (): void => {
    const slot = words % shingleWords;
    rolling = (Math.imul(rolling, 31) + word - Math.imul(ensure(window[slot], "slot"), outgoingFactor)) | 0;
    window[slot] = word;
    word = 0;
    words++;
    if (words < shingleWords) return;
    const value = mix(rolling);
    if ((value & sampleMask) === 0) found.push(value);
  };
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const lower = unit >= 0x41 && unit <= 0x5a ? unit + 32 : unit;
    if ((lower >= 0x61 && lower <= 0x7a) || (lower >= 0x30 && lower <= 0x39) || lower >= 0x80)
      word = (Math.imul(word ^ lower, 0x01000193) + 1) | 0;
    else if (word !== 0) endWord();
  }
  if (word !== 0) endWord();
  if (words > 0 && words < shingleWords) found.push(mix(rolling));
  return found;
}

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
