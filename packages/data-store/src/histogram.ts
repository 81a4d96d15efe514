/** Counts of values by bin. A key is the lower limit of its bin; `none` counts values that are not numbers. */
export type Histogram = Readonly<Record<string, number>>;

const binsOfOne = 50;
const binsOfDecade = 16;

/**
 * The bin of a value. The bins are the same for all measures, shards and runs, so that histograms add up exactly: 50 below 1,
 * and 16 a decade above.
 */
export function binOf(value: number): string {
  if (Number.isNaN(value)) return "none";
  if (!Number.isFinite(value)) return String(value);
  if (value < 0) return `-${binOf(-value)}`;
  const guess = value < 1 ? Math.floor(value * binsOfOne) : binsOfOne + Math.floor(Math.log10(value) * binsOfDecade);
  // A limit that is printed in four digits is rounded, and a value is never below the printed limit of its bin.
  for (let bin = guess + 1; ; bin--) if (lowerLimit(bin) <= value) return String(lowerLimit(bin));
}

/** The bins below 1 come first. */
const lowerLimit = (bin: number): number =>
  bin < binsOfOne ? bin / binsOfOne : Number((10 ** ((bin - binsOfOne) / binsOfDecade)).toPrecision(4));

/** The sum of histograms by name. */
export function mergeHistograms(histograms: readonly Readonly<Record<string, Histogram>>[]): Readonly<Record<string, Histogram>> {
  const merged = new Map<string, Map<string, number>>();
  for (const each of histograms)
    for (const [name, bins] of Object.entries(each)) {
      const sum = merged.get(name) ?? new Map<string, number>();
      merged.set(name, sum);
      for (const [bin, count] of Object.entries(bins)) sum.set(bin, (sum.get(bin) ?? 0) + count);
    }
  return Object.fromEntries([...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, bins]) => [name, sortedBins(bins)]));
}

/** In the order of the values. */
export const sortedBins = (bins: ReadonlyMap<string, number>): Histogram =>
  Object.fromEntries([...bins].sort(([a], [b]) => placeOf(a) - placeOf(b)));

const placeOf = (bin: string): number => (bin === "none" ? Number.POSITIVE_INFINITY : Number(bin));
