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
  const half = halfOf(size);
  let at = index;
  do at = feistel(at, half, key);
  while (at >= size);
  return at;
}

/** The index whose image is `image`: the inverse of `permute`. */
export function unpermute(image: number, size: number, key: number): number {
  assert(Number.isInteger(image) && image >= 0 && image < size, "image outside of the permutation", image, size);
  if (size === 1) return 0;
  const half = halfOf(size);
  let at = image;
  do at = inverseFeistel(at, half, key);
  while (at >= size);
  return at;
}

/** The size of a half: both together have the next even number of bits. */
const halfOf = (size: number): number => 2 ** Math.ceil(Math.ceil(Math.log2(size)) / 2);

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

function inverseFeistel(value: number, half: number, key: number): number {
  let left = Math.floor(value / half);
  let right = value % half;
  for (let round = rounds - 1; round >= 0; round--) {
    const unscrambled = (((right - (hash32(left, hash32(key, round)) % half)) % half) + half) % half;
    [left, right] = [unscrambled, left];
  }
  return left * half + right;
}
