import { z } from "zod";
import { binOf, mergeHistograms, sortedBins } from "./histogram.js";

const count = z.number().int().nonnegative();

/** The documents on which a limit decides: no other rule drops them. */
export const limitCounts = z.object({
  /** By the value that the limit compares. */
  values: z.record(z.string(), count),
  /** Those that the present limit keeps. */
  kept: count,
});
export type LimitCounts = Readonly<z.infer<typeof limitCounts>>;

/** Counts the documents on which limits decide. */
export class LimitCounter {
  readonly #limits = new Map<string, { readonly values: Map<string, number>; kept: number }>();

  get isEmpty(): boolean {
    return this.#limits.size === 0;
  }

  add(limit: string, value: number, isKept: boolean): void {
    const counts = this.#limits.get(limit) ?? { values: new Map<string, number>(), kept: 0 };
    this.#limits.set(limit, counts);
    const bin = binOf(value);
    counts.values.set(bin, (counts.values.get(bin) ?? 0) + 1);
    counts.kept += Number(isKept);
  }

  counts(): Readonly<Record<string, LimitCounts>> {
    return mergeLimits([
      Object.fromEntries([...this.#limits].map(([limit, { values, kept }]) => [limit, { values: sortedBins(values), kept }])),
    ]);
  }
}

/** The sums of counts by limit. */
export function mergeLimits(all: readonly Readonly<Record<string, LimitCounts>>[]): Readonly<Record<string, LimitCounts>> {
  const limits = [...new Set(all.flatMap((each) => Object.keys(each)))].sort();
  return Object.fromEntries(
    limits.map((limit) => {
      const counts = all.flatMap((each) => each[limit] ?? []);
      const { values = {} } = mergeHistograms(counts.map((each) => ({ values: each.values })));
      return [limit, { values, kept: counts.reduce((sum, { kept }) => sum + kept, 0) }];
    }),
  );
}
