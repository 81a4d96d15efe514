import { goalOf, type SeededRun } from "./seeded-run.js";

/** Measured goals of runs that differ in their mixture alone: what a recommendation is worth. */
export interface MeasuredGain {
  /** The goal of each seed, in nats per token. */
  readonly recommended: readonly number[];
  readonly natural: readonly number[];
  /** The mean of natural minus recommended over the seeds; positive if the recommendation is better. */
  readonly gain: number;
  /** The standard error of that mean; undefined for one seed. */
  readonly standardError: number | undefined;
  /** Seeds for which the recommended mixture is better. */
  readonly better: number;
}

/**
 * Compares runs of the recommended mixture with those of the natural one, seed by seed: both have the same initial weights and order.
 *
 * @param natural runs of the same size
 */
export function measuredGain(
  recommended: readonly SeededRun[],
  natural: readonly SeededRun[],
  goal: Readonly<Record<string, number>>,
): MeasuredGain | undefined {
  const pairs = recommended.flatMap((run) => {
    const other = natural.find(({ seed }) => seed === run.seed);
    return other === undefined ? [] : [[goalOf(run, goal), goalOf(other, goal)] as const];
  });
  if (pairs.length === 0) return undefined;
  const gains = pairs.map(([own, other]) => other - own);
  const gain = gains.reduce((sum, each) => sum + each, 0) / gains.length;
  const variance = gains.reduce((sum, each) => sum + (each - gain) ** 2, 0) / (gains.length - 1);
  return {
    recommended: pairs.map(([own]) => own),
    natural: pairs.map(([, other]) => other),
    gain,
    standardError: gains.length === 1 ? undefined : Math.sqrt(variance / gains.length),
    better: gains.filter((each) => each > 0).length,
  };
}
