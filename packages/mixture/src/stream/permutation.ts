import { assert, hash32 } from "@lapidary/std";

const rounds = 6;

/**
 * A pseudo-random permutation of `[0, size)` without a table: a Feistel network over the next even number of bits, repeated
 * until the value is below `size` (cycle walking, Black and Rogaway 2002).
 *
 * @returns the image of `index`
 */
export function permute(index: number, size: number, key: number): number {
  assert(Number.isInteger(index) && index >= 0 && index < size, "index outside of the permutation", index, size);
  if (size === 1) return 0;
  const halfBits = Math.ceil(Math.ceil(Math.log2(size)) / 2);
  const half = 2 ** halfBits;
  let at = index;
  do at = feistel(at, half, key);
  while (at >= size);
  return at;
}

/** A bijection of `[0, half²)`: each round swaps the halves and scrambles one by the other. */
function feistel(value: number, half: number, key: number): number {
  let left = Math.floor(value / half);
  let right = value % half;
  for (let round = 0; round < rounds; round++) {
    const scrambled = (left + (hash32(right, hash32(key, round)) % half)) % half;
    [left, right] = [right, scrambled];
  }
  return left * half + right;
}
