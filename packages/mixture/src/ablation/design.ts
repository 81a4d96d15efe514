import { type Random, seededRandom } from "@lapidary/std";
import type { MixtureShares } from "./loss-models.js";
import { sharesWithin } from "./recommend.js";

interface DesignSettings {
  /** The shares of the sources in all tokens. */
  readonly natural: MixtureShares;
  /** The largest share that each source may have; their sum is at least 1. */
  readonly most: MixtureShares;
  readonly count: number;
  readonly seed: number;
}

/** Tight limits make many draws equal. A mixture that is drawn again is not a new one. */
const triesPerMixture = 100;
/** Decimal places of a share, so that a job file is readable. */
const places = 4;
/** The smallest and the largest concentration of a draw, for each source: mixtures far from the natural one, and near to it. */
const [fewest, greatest] = [0.5, 8];

/**
 * Mixtures for an ablation: the natural one, then draws of Dirichlet distributions whose mean is the natural one. The concentration of each draw is
 * log-uniform, as in RegMix (arXiv 2407.01492), so that some mixtures are far from the mean. All are different; there are fewer than `count` if the
 * limits leave no more.
 */
export function designMixtures({ natural, most, count, seed }: DesignSettings): number[][] {
  const random = seededRandom(seed);
  const draw = (): number[] => {
    const concentration = natural.length * fewest * (greatest / fewest) ** random.next();
    return rounded(sharesWithin(dirichlet(natural, concentration, random), most));
  };
  const designed = new Map<string, number[]>();
  const add = (shares: number[]): void => void designed.set(shares.join(), shares);
  add(rounded(sharesWithin(natural, most)));
  for (let tried = 0; designed.size < count && tried < count * triesPerMixture; tried++) add(draw());
  return [...designed.values()].slice(0, count);
}

function dirichlet(mean: MixtureShares, concentration: number, random: Random): number[] {
  const drawn = mean.map((share) => gamma(Math.max(share, 1e-3) * concentration, random));
  const sum = drawn.reduce((total, each) => total + each, 0);
  return sum > 0 ? drawn.map((each) => each / sum) : [...mean];
}

/** A gamma variate with scale 1 (Marsaglia and Tsang 2000; for shapes below 1, by a power of a uniform number). */
function gamma(shape: number, random: Random): number {
  if (shape < 1) return gamma(shape + 1, random) * Math.max(random.next(), 1e-300) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.next()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Shares with few digits. The largest share takes the rest, so that their sum is 1. */
function rounded(shares: MixtureShares): number[] {
  const result = shares.map((share) => Math.floor(share * 10 ** places) / 10 ** places);
  const largest = result.indexOf(Math.max(...result));
  const others = result.reduce((sum, share, i) => (i === largest ? sum : sum + share), 0);
  result[largest] = Number((1 - others).toFixed(places));
  return result;
}
