import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import fc from "fast-check";
import { designMixtures } from "./design.js";
import { rankCorrelation } from "./rank-correlation.js";
import type { SeededRun } from "./seeded-run.js";
import { summarizeAblation } from "./summarize.js";

const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0);

describe("an ablation of mixtures", () => {
  it("the design begins with the natural mixture, and its shares sum to 1 within their limits", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 6 }), fc.nat(99), (tokens, seed) => {
        const natural = tokens.map((each) => each / sum(tokens));
        const most = natural.map((share) => Math.min(1, 2 * share));
        const mixtures = designMixtures({ natural, most, count: 12, seed });
        deepStrictEqual(designMixtures({ natural, most, count: 12, seed }), mixtures);
        for (const [i, share] of (mixtures[0] ?? []).entries()) ok(Math.abs(share - (natural[i] ?? 0)) < 0.002);
        for (const shares of mixtures) {
          ok(Math.abs(sum(shares) - 1) < 1e-9);
          for (const [i, share] of shares.entries()) ok(share >= 0 && share <= (most[i] ?? 0) + 0.001, `${share} of ${most[i]}`);
        }
        equal(new Set(mixtures.map((shares) => shares.join())).size, mixtures.length);
        ok(mixtures.length > 6, String(mixtures.length));
      }),
      { numRuns: 30 },
    );
  });

  it("the rank correlation of equal orders is 1, of opposite orders −1, and equal values share a rank", () => {
    ok(Math.abs(rankCorrelation([1, 5, 9, 11], [2, 3, 4, 50]) - 1) < 1e-12);
    ok(Math.abs(rankCorrelation([1, 5, 9], [3, 2, 1]) + 1) < 1e-12);
    // Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3: the covariance is 4.5, and the variances are 4.5 and 5.
    ok(Math.abs(rankCorrelation([1, 2, 2, 3], [1, 2, 3, 4]) - 4.5 / Math.sqrt(4.5 * 5)) < 1e-12);
  });

  it("the recommendation is within the limits, better than the natural mixture, and has a range over the seeds", () => {
    const random = seededRandom(3);
    const natural = [0.7, 0.2, 0.1];
    const most = [1, 0.5, 0.3];
    // More of the third source lowers both losses, more of the first source one of them.
    const losses = (shares: readonly number[], offset: number): Record<string, number> => ({
      web: offset + Math.exp(-(shares[0] ?? 0) - 2 * (shares[2] ?? 0)) + 0.001 * random.next(),
      code: offset + Math.exp(-2 * (shares[1] ?? 0) - (shares[2] ?? 0)) + 0.001 * random.next(),
    });
    const runs: SeededRun[] = designMixtures({ natural, most, count: 24, seed: 1 }).flatMap((shares, mixture) =>
      ["small", "large"].flatMap((size) =>
        size === "large" && mixture >= 6
          ? []
          : [1, 2].map((seed) => ({ size, mixture, seed, shares, losses: losses(shares, size === "large" ? 1 : 2) })),
      ),
    );
    const summary = summarizeAblation(runs, { small: "small", large: "large", goal: { web: 0.5, code: 0.5 }, natural, most });
    const { recommended, natural: unchanged } = summary;
    equal(Number(sum(recommended.shares).toFixed(6)), 1);
    ok(recommended.shares.every((share, i) => share <= (most[i] ?? 0) + 1e-9));
    const tried = Math.max(...runs.map(({ shares }) => shares[2] ?? 0));
    ok(Math.abs((recommended.shares[2] ?? 0) - tried) < 0.01 && tried > 0.2, String(recommended.shares));
    ok(recommended.loss.value < unchanged.loss.value);
    ok(recommended.loss.low <= recommended.loss.value && recommended.loss.value <= recommended.loss.high);
    ok((summary.rankCorrelation ?? 0) > 0.9);
  });
});
