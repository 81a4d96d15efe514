import { hash32, hashString } from "@lapidary/std";
import { nGrams, wordsOf } from "./words.js";

/** An earlier text that is nearly the same. */
export interface NearDuplicate {
  /** Number of the earlier text, in the order of `add`. */
  readonly of: number;
  /** The estimated Jaccard similarity of the two sets of n-grams. */
  readonly similarity: number;
}

const gramWords = 5;
const bands = 14;
const rowsPerBand = 8;
const hashes = bands * rowsPerBand;

/**
 * Finds near-duplicates by MinHash (Broder 1997) on runs of 5 words, with 14 bands of 8 hashes. Two texts with similarity s share a band with
 * probability 1 − (1 − s⁸)¹⁴: 0.05 at s = 0.5, 0.56 at 0.7, 0.92 at 0.8, 1.00 at 0.9.
 *
 *     signature   h₁ … h₈ │ h₉ … h₁₆ │ …      h: the least hash of all n-grams, one hash function each
 *     bands          b₁        b₂     …       two texts are near-duplicates if all hashes of one band are equal
 */
export class MinHashIndex {
  /** The signatures of all texts. */
  readonly #signatures: Uint32Array[] = [];
  /** Hash of a band → the first text with each content of the band. */
  readonly #texts = Array.from({ length: bands }, () => new Map<number, number[]>());

  /** Adds a text. @returns the earliest text that shares a band with it */
  add(text: string): NearDuplicate | undefined {
    const number = this.#signatures.length;
    const signature = signatureOf(text);
    this.#signatures.push(signature ?? new Uint32Array(0));
    if (signature === undefined) return undefined;
    let of = number;
    for (const [band, texts] of this.#texts.entries()) {
      const key = bandKey(signature, band);
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
export function signatureOf(text: string): Uint32Array | undefined {
  const grams = nGrams(wordsOf(text), gramWords);
  if (grams.length === 0) return undefined;
  const signature = new Uint32Array(hashes).fill(0xffffffff);
  for (const gram of new Set(grams)) {
    const base = hashString(gram);
    for (let i = 0; i < hashes; i++) signature[i] = Math.min(signature[i] ?? 0, hash32(base, i));
  }
  return signature;
}

/** The share of equal hashes: an estimate of the Jaccard similarity with standard deviation √(s(1 − s) / 112). */
export function similarityOf(a: Uint32Array, b: Uint32Array): number {
  let equal = 0;
  for (let i = 0; i < hashes; i++) if (a[i] === b[i]) equal++;
  return equal / hashes;
}

function bandKey(signature: Uint32Array, band: number): number {
  let key = band;
  for (let at = band * rowsPerBand; at < (band + 1) * rowsPerBand; at++) key = hash32(key, signature[at] ?? 0);
  return key;
}
