import { seededRandom } from "@lapidary/std";
import type { LossModel, MixtureShares } from "./loss-models.js";

/**
 * The mixture with the least predicted loss: shares are moved between pairs of sources as long as the loss falls, from several mixtures.
 *
 * @param most the largest share that each source may have; their sum is at least 1
 */
export function recommendMixture(predict: LossModel, most: MixtureShares, seed = 0): number[] {
  const random = seededRandom(seed);
  const starts = Array.from({ length: 32 }, () =>
    sharesWithin(
      most.map(() => random.next()),
      most,
    ),
  );
  let best = { shares: starts[0] ?? [], loss: Number.POSITIVE_INFINITY };
  for (const start of starts) {
    const shares = descend(predict, start, most);
    const loss = predict(shares);
    if (loss < best.loss) best = { shares, loss };
  }
  return best.shares;
}

function descend(predict: LossModel, start: readonly number[], most: MixtureShares): number[] {
  let shares = [...start];
  let loss = predict(shares);
  for (let step = 0.1; step > 1e-5; ) {
    let isBetter = false;
    for (let from = 0; from < shares.length; from++)
      for (let to = 0; to < shares.length; to++) {
        const moved = Math.min(step, shares[from] ?? 0, (most[to] ?? 0) - (shares[to] ?? 0));
        if (from === to || moved <= 0) continue;
        const next = shares.map((share, i) => share + (i === to ? moved : i === from ? -moved : 0));
        const nextLoss = predict(next);
        if (nextLoss < loss) [shares, loss, isBetter] = [next, nextLoss, true];
      }
    if (!isBetter) step /= 2;
  }
  return shares;
}

/** Weights as shares within the limits: what exceeds a limit goes to the sources below their limits, by their weights. */
export function sharesWithin(weights: readonly number[], most: MixtureShares): number[] {
  const shares = most.map(() => 0);
  for (let round = 0; round < most.length; round++) {
    const left = 1 - shares.reduce((sum, each) => sum + each, 0);
    const open = weights.map((weight, i) => ((shares[i] ?? 0) < (most[i] ?? 0) ? weight + 1e-9 : 0));
    const sum = open.reduce((total, each) => total + each, 0);
    if (left <= 1e-12 || sum === 0) break;
    for (const [i, weight] of open.entries()) shares[i] = Math.min(most[i] ?? 0, (shares[i] ?? 0) + (left * weight) / sum);
  }
  return shares;
}
