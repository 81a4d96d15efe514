import { sizeOf } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/**
 * The effect of a reshape on an array that repeats along some dims and is stored with 1 there. The dims of both shapes form groups of equal product,
 * from the major end on. If all dims of a group repeat, its new dims repeat. If only some repeat, the group must be stored in full.
 *
 *     from [B, T, H, d], held [B, 1, H, d]   to [B·T, H·d]     B and T are one group: held becomes [B, T, H, d]
 *     from [B, T, H·d],  held [1, T, 1]      to [B, T, H, d]   result held [1, T, 1, 1]
 */
export function regroup(
  from: readonly number[],
  held: readonly number[],
  to: readonly number[],
): { readonly held: readonly number[]; readonly dims: readonly number[] } {
  assert(sizeOf(from) === sizeOf(to), "a reshape keeps its elements", from, to);
  const [whole, dims] = [[...held], [...to]];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const [firstFrom, firstTo] = [i, j];
    let [a, b] = [1, 1];
    do {
      if (a <= b && i < from.length) a *= from[i++] ?? 1;
      else if (j < to.length) b *= to[j++] ?? 1;
      else a *= from[i++] ?? 1;
    } while (a !== b);
    const large = range(firstFrom, i).filter((d) => from[d] !== 1);
    if (large.every((d) => held[d] === 1)) for (const d of range(firstTo, j)) dims[d] = 1;
    else for (const d of large) whole[d] = from[d] ?? 1;
  }
  return { held: whole, dims };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, k) => from + k);
