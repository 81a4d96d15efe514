/** The largest finite number of f32. */
export const f32Max = 3.4028234663852886e38;

/** The smallest positive normal number of f32. Kernels may flush smaller numbers to 0. */
const f32MinNormal = 1.1754943508222875e-38;

/** Whether f32 represents `value` without overflow to infinity or underflow to 0. */
export function fitsF32(value: number): boolean {
  const size = Math.abs(value);
  return size === 0 || (size >= f32MinNormal && size <= f32Max);
}
