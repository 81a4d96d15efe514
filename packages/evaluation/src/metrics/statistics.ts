import { assert } from "@lapidary/std";

/** Statistics over typed arrays. All sums are in double precision and in index order, so that equal inputs give equal bits. */

/** Numbers by index: a typed array or a list. */
export type Numbers = ArrayLike<number>;

/** Fails if an array does not have as many elements as the mask or another array of the same shape. */
export function requireLength(name: string, values: Numbers, length: number): void {
  assert(values.length === length, `${name} has the length of the other arrays`, values.length, length);
}

/** The element at an index that is in range. */
export const valueAt = (values: Numbers, i: number): number => values[i] ?? Number.NaN;

/** Calls `visit` for every index whose mask is not 0. A value under a mask of 0 is never read, so it may be NaN. */
export function forEachMasked(mask: Numbers, visit: (i: number) => void): void {
  for (let i = 0; i < mask.length; i++) if (mask[i] !== 0) visit(i);
}

export interface MeanAndMax {
  readonly mean: number;
  readonly max: number;
}

/** Mean and maximum of a function of the index, over the indices whose mask is not 0: one division of two sums. NaN if there are none. */
export function maskedSummary(mask: Numbers, value: (i: number) => number): MeanAndMax {
  let [sum, count, max] = [0, 0, Number.NEGATIVE_INFINITY];
  forEachMasked(mask, (i) => {
    const each = value(i);
    sum += each;
    count++;
    max = Math.max(max, each);
  });
  return count === 0 ? { mean: Number.NaN, max: Number.NaN } : { mean: sum / count, max };
}

/** Σ mask · value / Σ mask, without reading values under a mask of 0. NaN if the mask is 0 everywhere. */
export function maskedMean(values: Numbers, mask: Numbers): number {
  requireLength("values", values, mask.length);
  return maskedSummary(mask, (i) => valueAt(values, i)).mean;
}

export interface MeanAndStd {
  /** NaN without values. */
  readonly mean: number;
  /** Standard deviation of a sample, with n − 1. 0 for fewer than two values. */
  readonly std: number;
}

/** In two passes: the deviations are from the mean, so that a large mean does not cost digits. */
export function meanAndStd(values: Numbers): MeanAndStd {
  const n = values.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += valueAt(values, i);
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (valueAt(values, i) - mean) ** 2;
  return { mean, std: n < 2 ? 0 : Math.sqrt(squares / (n - 1)) };
}

/** Pearson's correlation; undefined if one of the two has no spread. */
export function correlation(x: Numbers, y: Numbers): number | undefined {
  requireLength("y", y, x.length);
  const [meanX, meanY] = [meanAndStd(x).mean, meanAndStd(y).mean];
  let [xx, xy, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [valueAt(x, i) - meanX, valueAt(y, i) - meanY];
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : undefined;
}
