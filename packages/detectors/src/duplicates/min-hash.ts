import { hash32 } from "@lapidary/std";
import { finish, stringHash } from "../word-hash.js";

/** The form of a signature. */
export interface SignatureShape {
  readonly bands: number;
  readonly rowsPerBand: number;
}

/**
 * MinHash signatures (Broder 1997) of 14 bands of 8 hashes. Two texts with Jaccard similarity s share a band with probability 1 − (1 − s⁸)¹⁴: 0.05 at
 * s = 0.5, 0.56 at 0.7, 0.92 at 0.8, 1.00 at 0.9.
 *
 *     signature   h₁ … h₈ │ h₉ … h₁₆ │ …      h: the least hash of all shingles, one hash function each
 *     bands          b₁        b₂     …       two texts meet if all hashes of one band are equal
 */
export const bands = 14;
export const rowsPerBand = 8;
const defaultShape: SignatureShape = { bands, rowsPerBand };

/** 32-bit hashes of all runs of `size` words, in order; none if the text has fewer words. */
export const shingleHashes = (words: readonly string[], size: number): Uint32Array =>
  shinglesOf(Uint32Array.from(words, stringHash), words.length, size);

/** The same from the hashes of words. */
export function shinglesOf(words: Uint32Array, count: number, size: number): Uint32Array {
  const shingles = new Uint32Array(Math.max(0, count - size + 1));
  for (let i = 0; i < shingles.length; i++) {
    let hash = size;
    for (let j = i; j < i + size; j++) hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + (words[j] ?? 0);
    shingles[i] = finish(hash);
  }
  return shingles;
}

/** Hash functions that one pass over the shingles computes. */
const functionsAtOnce = 4;
/** Flips the order of signed numbers to that of unsigned ones, because V8 compares signed numbers of 32 bits without floats. */
const signBit = 0x80000000 | 0;

/**
 * Hash function i is x → a[i]·x + b[i] modulo 2³². The least value depends on the high bits, in which the family is 2-universal.
 *
 * @returns the least hash of all shingles for each hash function, [bands × rowsPerBand]; undefined without shingles
 */
export function minHash(shingles: Uint32Array, shape: SignatureShape = defaultShape): Uint32Array | undefined {
  if (shingles.length === 0) return undefined;
  const signed = new Int32Array(shingles.buffer, shingles.byteOffset, shingles.length);
  const signature = new Uint32Array(shape.bands * shape.rowsPerBand);
  for (let i = 0; i < signature.length; i += functionsAtOnce) leastHashes(signed, i, signature);
  return signature;
}

/** Writes the least hashes of four functions, which are in registers together. Those after the end of the signature are not written. */
function leastHashes(shingles: Int32Array, first: number, signature: Uint32Array): void {
  const multiplier = (i: number): number => hash32(first + i, 1) | 1;
  const offset = (i: number): number => hash32(first + i, 2) ^ signBit;
  const [a0, a1, a2, a3] = [multiplier(0), multiplier(1), multiplier(2), multiplier(3)];
  const [c0, c1, c2, c3] = [offset(0), offset(1), offset(2), offset(3)];
  let [least0, least1, least2, least3] = [0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff];
  for (let i = 0; i < shingles.length; i++) {
    const shingle = shingles[i] ?? 0;
    const hash0 = (Math.imul(a0, shingle) + c0) | 0;
    const hash1 = (Math.imul(a1, shingle) + c1) | 0;
    const hash2 = (Math.imul(a2, shingle) + c2) | 0;
    const hash3 = (Math.imul(a3, shingle) + c3) | 0;
    if (hash0 < least0) least0 = hash0;
    if (hash1 < least1) least1 = hash1;
    if (hash2 < least2) least2 = hash2;
    if (hash3 < least3) least3 = hash3;
  }
  signature[first] = least0 ^ signBit;
  signature[first + 1] = least1 ^ signBit;
  signature[first + 2] = least2 ^ signBit;
  signature[first + 3] = least3 ^ signBit;
}

/** A 53-bit key of each band, [bands]. Texts meet if they have an equal key in one band; different bands have different keys. */
export function bandKeys(signature: Uint32Array, shape: SignatureShape = defaultShape): number[] {
  return Array.from({ length: shape.bands }, (_, band) => {
    let [high, low] = [band, ~band];
    for (let at = band * shape.rowsPerBand; at < (band + 1) * shape.rowsPerBand; at++) {
      high = hash32(high, signature[at] ?? 0);
      low = hash32(signature[at] ?? 0, low);
    }
    return (high >>> 11) * 2 ** 32 + (low >>> 0);
  });
}
