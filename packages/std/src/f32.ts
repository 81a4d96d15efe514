/** The largest finite number of f32. */
export const f32Max = 3.4028234663852886e38;

/** The smallest positive normal number of f32. Kernels may flush what is smaller to 0. */
export const f32MinNormal = 1.1754943508222875e-38;

/** Whether f32 holds `value` as neither infinity nor 0, unless it is 0. */
export function fitsF32(value: number): boolean {
  const size = Math.abs(value);
  return size === 0 || (size >= f32MinNormal && size <= f32Max);
}
