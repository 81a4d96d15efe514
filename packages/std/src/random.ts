/** Random numbers are an argument with a seed, so that the same seed repeats a run. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, below). */
  integer(below: number): number;
}

/** mulberry32: 32 bits of state. Sufficient for shuffles and sampling, but not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { next, integer: (below) => Math.floor(next() * below) };
}

/** 32-bit hash of two integers (murmur3 finaliser): the counter-based generator of random numbers that do not depend on the sharding. */
export function hash32(a: number, b: number): number {
  let h = (Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35)) >>> 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h ^ a, 0x27d4eb2f);
  h ^= h >>> 15;
  return h >>> 0;
}

/** 32-bit FNV-1a of a string: names to seeds. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * Standard normal number `index` of stream `key`, by Box-Muller on two hashes. Any shard can compute any element, so a
 * sharded initialization equals the unsharded initialization.
 */
export function normalAt(key: number, index: number): number {
  const u = (hash32(key, index * 2) + 1) / 4294967297;
  const v = hash32(key ^ 0x5bd1e995, index * 2 + 1) / 4294967296;
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}
