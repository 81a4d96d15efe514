import { fitAblation } from "./ablation.js";
import type { MixtureShares } from "./loss-models.js";
import { rankCorrelation } from "./rank-correlation.js";
import { recommendMixture } from "./recommend.js";
import { goalOf, type SeededRun } from "./seeded-run.js";

export interface AblationSettings {
  readonly small: string;
  readonly large: string;
  /** Of the held-out losses by source in the goal; their sum is 1. */
  readonly goal: Readonly<Record<string, number>>;
  readonly natural: MixtureShares;
  /** The largest share of each source for which there are enough tokens. */
  readonly most: MixtureShares;
}

/** A value with its range over the seeds: each seed fits models of its own runs alone. */
interface SeedRange {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export interface AblationSummary {
  /** Of the goal in runs of both sizes with the same mixtures, from −1 to 1; undefined for fewer than three mixtures. */
  readonly rankCorrelation: number | undefined;
  readonly models: ReturnType<typeof fitAblation>["models"];
  readonly recommended: { readonly shares: MixtureShares; readonly loss: SeedRange };
  /** The same prediction for the natural mixture. */
  readonly natural: { readonly shares: MixtureShares; readonly loss: SeedRange };
}

/**
 * Fits the losses of all runs, and recommends the mixture with the least predicted goal of the large size, among those whose shares are at most the
 * largest ones of the runs.
 */
export function summarizeAblation(runs: readonly SeededRun[], settings: AblationSettings): AblationSummary {
  const { small, large, goal, natural, most } = settings;
  const sizes = { small, large, weights: goal };
  const whole = fitAblation(runs, sizes);
  const shares = recommendMixture(whole.predict, withinTried(runs, most));
  const seeds = [...new Set(runs.map(({ seed }) => seed))];
  const bySeed = seeds.map((seed) =>
    fitAblation(
      runs.filter((run) => run.seed === seed),
      sizes,
    ),
  );
  const range = (of: MixtureShares): SeedRange => {
    const predicted = [whole, ...bySeed].map(({ predict }) => predict(of));
    return { value: whole.predict(of), low: Math.min(...predicted), high: Math.max(...predicted) };
  };
  return {
    rankCorrelation: correlationOfSizes(runs, settings),
    models: whole.models,
    recommended: { shares, loss: range(shares) },
    natural: { shares: natural, loss: range(natural) },
  };
}

/** No source gets a larger share than in the largest of its trials, because predictions beyond them are extrapolated. */
const withinTried = (runs: readonly SeededRun[], most: MixtureShares): number[] =>
  most.map((limit, i) => Math.min(limit, Math.max(...runs.map(({ shares }) => shares[i] ?? 0))));

/** The mean of the goal over the runs of a size with a mixture. */
export function meanGoal(runs: readonly SeededRun[], size: string, mixture: number, goal: AblationSettings["goal"]): number {
  const values = runs.filter((run) => run.size === size && run.mixture === mixture).map((run) => goalOf(run, goal));
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}

function correlationOfSizes(runs: readonly SeededRun[], { small, large, goal }: AblationSettings): number | undefined {
  const of = (size: string): Set<number> => new Set(runs.filter((run) => run.size === size).map(({ mixture }) => mixture));
  const [few, many] = [of(large), of(small)];
  const common = [...few].filter((mixture) => many.has(mixture));
  if (common.length < 3) return undefined;
  return rankCorrelation(
    common.map((mixture) => meanGoal(runs, small, mixture, goal)),
    common.map((mixture) => meanGoal(runs, large, mixture, goal)),
  );
}
