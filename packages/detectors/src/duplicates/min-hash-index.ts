import { wordScanner } from "../words.js";
import type { HashedWords } from "../word-scanner.js";
import { bandKeys, bands, minHash, rowsPerBand, shinglesOf } from "./min-hash.js";

/** An earlier text that is nearly the same. */
export interface NearDuplicate {
  /** Number of the earlier text, in the order of `add`. */
  readonly of: number;
  /** The estimated Jaccard similarity of the two sets of n-grams. */
  readonly similarity: number;
}

/** Words of a shingle. A shorter text has one shingle of all its words. */
const shingleWords = 5;

/** Finds near-duplicates by MinHash on runs of 5 words. */
export class MinHashIndex {
  readonly #scanner = wordScanner();
  /** The signatures of all texts. */
  readonly #signatures: Uint32Array[] = [];
  /** Hash of a band → the first text with each content of the band. */
  readonly #texts = Array.from({ length: bands }, () => new Map<number, number[]>());

  /** Adds a text. @returns the earliest text that shares a band with it */
  add(text: string): NearDuplicate | undefined {
    const number = this.#signatures.length;
    const signature = signatureOf(this.#scanner.read(text));
    this.#signatures.push(signature ?? new Uint32Array(0));
    if (signature === undefined) return undefined;
    let of = number;
    const keys = bandKeys(signature);
    for (const [band, texts] of this.#texts.entries()) {
      const key = keys[band] ?? 0;
      const earlier = texts.get(key) ?? [];
      const same = earlier.find((each) => this.#sharesBand(signature, each, band));
      // A later text with the same band would be a duplicate of the one that is kept.
      if (same === undefined) texts.set(key, [...earlier, number]);
      else of = Math.min(of, same);
    }
    const found = this.#signatures[of];
    return of === number || found === undefined ? undefined : { of, similarity: similarityOf(signature, found) };
  }

  /** Equal keys of different bands are possible, so the hashes are compared. */
  #sharesBand(signature: Uint32Array, other: number, band: number): boolean {
    const signatureOfOther = this.#signatures[other];
    for (let at = band * rowsPerBand; at < (band + 1) * rowsPerBand; at++) if (signature[at] !== signatureOfOther?.[at]) return false;
    return true;
  }
}

/** @returns undefined for a text without words */
export function signatureOf({ count, hashes }: HashedWords): Uint32Array | undefined {
  return minHash(shinglesOf(hashes, count, Math.min(shingleWords, Math.max(1, count))));
}

/** The share of equal hashes: an estimate of the Jaccard similarity with standard deviation √(s(1 − s) / 112). */
export function similarityOf(a: Uint32Array, b: Uint32Array): number {
  return a.filter((hash, i) => hash === b[i]).length / (bands * rowsPerBand);
}
