/**
 * Whether an operand is contiguous in memory along the last `columns` elements of a space, or is one number there. Only such rows can be read with a
 * stride of 1 or 0.
 *
 * @param held the operand's dims: 1 along the dims in which it repeats
 * @param dims the dims of the space in which the operand is read
 */
export function isUniform(held: readonly number[], dims: readonly number[], columns: number): boolean {
  let [left, run, still] = [columns, 0, 0];
  for (let d = dims.length - 1; d >= 0 && left > 1; d--) {
    const size = dims[d] ?? 1;
    if (size === 1) continue;
    if (held[d] === 1) still++;
    else run++;
    left = left > size ? left / size : 1;
  }
  return run === 0 || still === 0;
}
