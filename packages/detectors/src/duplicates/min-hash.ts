import { hash32 } from "@lapidary/std";

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
export function shingleHashes(words: readonly string[], size: number): Uint32Array {
  const known = new Map<string, number>();
  const wordHashes = Uint32Array.from(words, (word) => {
    let hash = known.get(word);
    if (hash === undefined) known.set(word, (hash = wordHash(word)));
    return hash;
  });
  const shingles = new Uint32Array(Math.max(0, words.length - size + 1));
  for (let i = 0; i < shingles.length; i++) {
    let hash = size;
    for (let j = i; j < i + size; j++) hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + (wordHashes[j] ?? 0);
    shingles[i] = finish(hash);
  }
  return shingles;
}

/**
 * Hash function i is x → a[i]·x + b[i] modulo 2³². The least value depends on the high bits, in which the family is 2-universal.
 *
 * @returns the least hash of all shingles for each hash function, [bands × rowsPerBand]; undefined without shingles
 */
export function minHash(shingles: Uint32Array, shape: SignatureShape = defaultShape): Uint32Array | undefined {
  if (shingles.length === 0) return undefined;
  const signature = new Uint32Array(shape.bands * shape.rowsPerBand);
  for (let i = 0; i < signature.length; i++) {
    const [a, b] = [hash32(i, 1) | 1, hash32(i, 2) | 0];
    let least = 0xffffffff;
    for (let j = 0; j < shingles.length; j++) {
      const hash = (Math.imul(a, shingles[j] ?? 0) + b) >>> 0;
      if (hash < least) least = hash;
    }
    signature[i] = least;
  }
  return signature;
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

function wordHash(word: string): number {
  let hash = word.length;
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193);
  return finish(hash);
}

/** The finaliser of murmur3. */
function finish(value: number): number {
  let hash = value ^ (value >>> 16);
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
