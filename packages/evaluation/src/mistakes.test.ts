import { ok } from "node:assert/strict";
import fc from "fast-check";
import {
  bradleyTerry,
  clipFractions,
  completionMetrics,
  dpoMetrics,
  elo,
  type Game,
  isContradiction,
  klEstimates,
  klOptimum,
  maskedMean,
  meanAndStd,
  outcomeOf,
  passAtK,
  pairMetrics,
  ratioMetrics,
  rewardMetrics,
  signTest,
  tokenRatios,
  type Verdict,
  winRate,
} from "./index.js";
import { evaluationGolden, isNear, rolloutGolden, tolerance } from "./testing/golden.js";

/**
 * Well-known mistakes, planted: each claim about a function holds for the function of this package and fails for every mistaken one. A claim that
 * a mistake satisfies would test nothing.
 */
interface Claim<F> {
  readonly claim: string;
  readonly right: F;
  readonly holds: (implementation: F) => boolean;
  readonly mistakes: Readonly<Record<string, F>>;
}

function expose<F>({ claim, right, holds, mistakes }: Claim<F>): void {
  describe(claim, () => {
    it("the claim holds for the function of this package", () => ok(holds(right)));
    for (const [mistake, wrong] of Object.entries(mistakes)) it(`the claim exposes the mistake: ${mistake}`, () => ok(!holds(wrong)));
  });
}

/** Whether a property holds for some hundred draws of one seed. */
const holdsFor = <T extends [unknown, ...unknown[]]>(property: fc.IPropertyWithHooks<T>): boolean =>
  !fc.check(property, { seed: 17, numRuns: 300 }).failed;

const golden = evaluationGolden();
const z = 1.959963984540054;
type Rate = (counts: { readonly wins: number; readonly ties: number; readonly losses: number }) => number;
const total = ({ wins, ties, losses }: Parameters<Rate>[0]): number => wins + ties + losses;

describe("planted mistakes", () => {
  expose<Rate>({
    claim: "the win rate equals the golden",
    right: (counts) => winRate(counts).rate,
    holds: (rate) => golden.win_rate.every((each) => isNear(rate(each), each.rate, tolerance.rates)),
    mistakes: {
      "ties count as losses": (c) => c.wins / total(c),
      "ties count as wins": (c) => (c.wins + c.ties) / total(c),
      "ties are dropped": (c) => c.wins / (c.wins + c.losses),
    },
  });

  const half = (c: Parameters<Rate>[0], variance: number, n: number): number => z * Math.sqrt(Math.max(0, variance) / n);
  const mean = (c: Parameters<Rate>[0]): number => (c.wins + c.ties / 2) / total(c);
  const variance = (c: Parameters<Rate>[0]): number => (c.wins + c.ties / 4) / total(c) - mean(c) ** 2;
  expose<Rate>({
    claim: "half of the normal interval equals the golden",
    right: (c) => winRate(c).normal95[1] - winRate(c).rate,
    holds: (width) => golden.win_rate.every((each) => isNear(width(each), each.normal95[1] - each.rate, tolerance.rates)),
    mistakes: {
      "the variance is that of a coin": (c) => half(c, mean(c) * (1 - mean(c)), total(c)),
      "the variance has n − 1": (c) => half(c, (variance(c) * total(c)) / (total(c) - 1), total(c)),
      "ties are dropped from n": (c) => half(c, variance(c), c.wins + c.losses),
      "the quantile is that of one side": (c) => (half(c, variance(c), total(c)) * 1.6448536269514722) / z,
    },
  });

  expose<Rate>({
    claim: "the upper end of Wilson's interval equals the golden",
    right: (c) => winRate(c).wilson95[1],
    holds: (upper) => golden.win_rate.every((each) => isNear(upper(each), each.wilson95[1], tolerance.rates)),
    mistakes: {
      "the centre is the rate": (c) =>
        mean(c) + (z * Math.sqrt((mean(c) * (1 - mean(c))) / total(c) + (z * z) / (4 * total(c) ** 2))) / (1 + (z * z) / total(c)),
      "ties are dropped": (c) => (c.wins + c.losses === 0 ? 1 : winRate({ ...c, ties: 0 }).wilson95[1]),
    },
  });

  const choose = (n: number, k: number): number => Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((all, x) => all * x, 1);
  const tail = (n: number, from: number): number =>
    Array.from({ length: n + 1 - from }, (_, i) => choose(n, from + i)).reduce((a, b) => a + b, 0) / 2 ** n;
  expose<(wins: number, losses: number) => number>({
    claim: "the sign test has the probability of the results that are at least as uneven",
    right: signTest,
    holds: (test) =>
      holdsFor(
        fc.property(fc.nat(25), fc.nat(25), (wins, losses) => {
          const n = wins + losses;
          const uneven = (w: number): boolean => Math.abs(2 * w - n) >= Math.abs(wins - losses);
          const all = Array.from({ length: n + 1 }, (_, w) => (uneven(w) ? choose(n, w) : 0)).reduce((a, b) => a + b, 0);
          return isNear(test(wins, losses), all / 2 ** n, 1e-12);
        }),
      ),
    mistakes: {
      "one side": (wins, losses) => tail(wins + losses, Math.max(wins, losses)),
      "not limited to 1": (wins, losses) => 2 * tail(wins + losses, Math.max(wins, losses)),
      "strictly more uneven": (wins, losses) => Math.min(1, 2 * tail(wins + losses, Math.max(wins, losses) + 1)),
    },
  });

  type Decide = (candidateFirst: Verdict, baselineFirst: Verdict) => number;
  const sign = (verdict: Verdict): number => (verdict === "first" ? 1 : verdict === "second" ? -1 : 0);
  expose<Decide>({
    claim: "wins − losses of the side-by-side verdicts equal the golden",
    right: (a, b) => ({ win: 1, tie: 0, loss: -1 })[outcomeOf({ orders: "both", candidateFirst: a, baselineFirst: b })],
    holds: (decide) => {
      const scores = golden.side_by_side.verdicts.map(([a, b]) => Math.sign(decide(a, b)));
      const { wins, losses } = golden.side_by_side.expected;
      return scores.filter((x) => x > 0).length === wins && scores.filter((x) => x < 0).length === losses;
    },
    mistakes: {
      "the second verdict is not turned around": (a, b) => sign(a) + sign(b),
      "a contradiction is a win of the first order": (a, b) => (a === b ? sign(a) : sign(a) - sign(b)),
      "the second order is ignored": (a) => sign(a),
      "both orders must agree": (a, b) => (sign(a) === -sign(b) ? sign(a) : 0),
    },
  });

  expose<(a: Verdict, b: Verdict) => boolean>({
    claim: "the number of contradictions equals the golden",
    right: (a, b) => isContradiction({ orders: "both", candidateFirst: a, baselineFirst: b }),
    holds: (contradicts) =>
      golden.side_by_side.verdicts.filter(([a, b]) => contradicts(a, b)).length === golden.side_by_side.expected.contradictions,
    mistakes: {
      "two ties are a contradiction": (a, b) => a === b,
      "a tie contradicts a preference": (a, b) => sign(a) !== -sign(b),
      "agreement is a contradiction": (a, b) => a !== "tie" && b !== "tie" && a !== b,
    },
  });

  type Rating = (games: readonly Game[]) => ReadonlyMap<string, number>;
  const games = golden.ratings.games.map(([a, b, score]): Game => ({ a, b, score }));
  const mapped = (ratings: ReadonlyMap<string, number>, change: (x: number) => number): ReadonlyMap<string, number> =>
    new Map([...ratings].map(([model, x]) => [model, change(x)]));
  const equalRatings = (expected: Readonly<Record<string, number>>, within: number) => (rate: Rating) => {
    const ratings = rate(games);
    return Object.entries(expected).every(([model, value]) => isNear(ratings.get(model) ?? Number.NaN, value, within));
  };
  expose<Rating>({
    claim: "Bradley–Terry ratings equal the golden",
    right: bradleyTerry,
    holds: equalRatings(golden.ratings.bradley_terry, tolerance.ratings),
    mistakes: {
      "ties are dropped": (all) => bradleyTerry(all.filter(({ score }) => score !== 0.5)),
      "a tie is a win of the first": (all) => bradleyTerry(all.map((game) => ({ ...game, score: game.score === 0.5 ? 1 : game.score }))),
      "the scale is 400 for a factor e": (all) => mapped(bradleyTerry(all), (x) => 1000 + (x - 1000) * Math.LN10),
      "a virtual tie is added": (all) => bradleyTerry(all, { virtualTies: 1 }),
      "the order of games matters": (all) => elo(all),
    },
  });
  expose<Rating>({
    claim: "Elo ratings equal the golden",
    right: (all) => elo(all),
    holds: equalRatings(golden.ratings.elo, tolerance.elo),
    mistakes: {
      "games in reverse order": (all) => elo([...all].reverse()),
      "k is 16": (all) => elo(all, { k: 16 }),
      "the second rating is updated with the new first rating": (all) => {
        const ratings = new Map<string, number>();
        const expected = (x: number, y: number): number => 1 / (1 + 10 ** ((y - x) / 400));
        for (const { a, b, score } of all) {
          const old = ratings.get(a) ?? 1000;
          const other = ratings.get(b) ?? 1000;
          const first = old + 32 * (score - expected(old, other));
          ratings.set(a, first);
          ratings.set(b, other + 32 * (1 - score - expected(other, first)));
        }
        return ratings;
      },
    },
  });

  expose<(n: number, c: number, k: number) => number>({
    claim: "pass@k equals the golden",
    right: (n, c, k) => passAtK({ n, c }, k),
    holds: (estimate) => golden.pass_at_k.every(({ n, c, k, expected }) => isNear(estimate(n, c, k), expected, tolerance.rates)),
    mistakes: {
      "drawn with replacement": (n, c, k) => 1 - (1 - c / n) ** k,
      "k times pass@1": (n, c, k) => Math.min(1, (k * c) / n),
    },
  });

  const coinKl = (a: number, b: number): number => a * Math.log(a / b) + (1 - a) * Math.log((1 - a) / (1 - b));
  expose<(p: number, beta: number) => { readonly accuracy: number; readonly kl: number }>({
    claim: "the KL-regularised optimum has a higher reward less β KL than any other accuracy, and its own KL",
    right: klOptimum,
    holds: (optimum) =>
      holdsFor(
        fc.property(
          fc.double({ min: 0.05, max: 0.95, noNaN: true }),
          fc.double({ min: 0.3, max: 3, noNaN: true }),
          fc.double({ min: 0.01, max: 0.99, noNaN: true }),
          (p, beta, other) => {
            const { accuracy, kl } = optimum(p, beta);
            return isNear(kl, coinKl(accuracy, p), 1e-9) && accuracy - beta * kl >= other - beta * coinKl(other, p) - 1e-9;
          },
        ),
      ),
    mistakes: {
      "β in place of 1 / β": (p, beta) => klOptimum(p, 1 / beta),
      "the reward has the wrong sign": (p, beta) => ({ accuracy: 1 - klOptimum(1 - p, beta).accuracy, kl: klOptimum(1 - p, beta).kl }),
      "the KL is that of the reference to the policy": (p, beta) => {
        const { accuracy } = klOptimum(p, beta);
        return { accuracy, kl: coinKl(p, accuracy) };
      },
      "no normaliser": (p, beta) => {
        const accuracy = Math.min(0.999, p * Math.exp(1 / beta));
        return { accuracy, kl: coinKl(accuracy, p) };
      },
    },
  });
});

const rollout = rolloutGolden("pod16x16");
const array = (name: string): Float32Array => rollout.array("rollout", name);
const mask = array("completion_mask");
const [current, old, reference] = [array("logps"), array("old_logps"), array("reference_logps")] as const;
const figure = (name: string): number => rollout.figure("rollout", name);
type Mean = (values: ArrayLike<number>) => number;

describe("planted mistakes in metrics of a rollout", () => {
  const rowMeans: Mean = (values) => {
    const rows = Array.from({ length: rollout.rows }, (_, r) => {
      const [from, to] = [r * rollout.width, (r + 1) * rollout.width];
      return maskedMean(Array.from(values).slice(from, to), mask.slice(from, to));
    });
    return meanAndStd(rows).mean;
  };
  expose<Mean>({
    claim: "the mean entropy of a token equals torch's",
    right: (values) => maskedMean(values, mask),
    holds: (average) => isNear(average(array("entropy")), figure("entropy"), tolerance.tokenMeans),
    mistakes: {
      "mean of the means of rows": rowMeans,
      "padding counts": (values) => meanAndStd(values).mean,
      "sum over tokens, mean over rows": (values) => (maskedMean(values, mask) * mask.reduce((a, b) => a + b, 0)) / rollout.rows,
    },
  });

  type Estimate = () => { readonly k1: number; readonly k3: number };
  expose<Estimate>({
    claim: "k1 and k3 equal torch's",
    right: () => klEstimates(current, reference, mask),
    holds: (estimate) => {
      const { k1, k3 } = estimate();
      return isNear(k1, figure("kl_k1"), tolerance.tokenMeans) && isNear(k3, figure("kl_k3"), tolerance.tokenMeans);
    },
    mistakes: {
      "policy and reference change roles": () => klEstimates(reference, current, mask),
      "the old policy in place of the current one": () => klEstimates(old, reference, mask),
      "k2, half of the square, in place of k3": () => ({
        k1: klEstimates(current, reference, mask).k1,
        k3: maskedMean(
          current.map((x, i) => (x - (reference[i] ?? 0)) ** 2 / 2),
          mask,
        ),
      }),
    },
  });

  expose<() => number>({
    claim: "the mean ratio equals torch's",
    right: () => ratioMetrics(current, old, mask).mean,
    holds: (ratio) => isNear(ratio(), figure("ratio_mean"), tolerance.tokenMeans),
    mistakes: {
      "the ratio is that of old to current": () => ratioMetrics(old, current, mask).mean,
      "the ratio of the means of log-probabilities": () => Math.exp(maskedMean(current, mask) - maskedMean(old, mask)),
      "padding counts as a ratio of 1": () => meanAndStd(tokenRatios(current, old, mask)).mean,
    },
  });

  const advantages = rollout.array("rollout", "grpo_advantages");
  const perToken = Float64Array.from({ length: mask.length }, (_, i) => advantages[Math.floor(i / rollout.width)] ?? 0);
  const ratios = tokenRatios(current, old, mask);
  const clip = { low: rollout.figure("grpo", "clip"), high: rollout.figure("grpo", "clip") };
  expose<() => { readonly low: number; readonly high: number }>({
    claim: "the clip fractions of GRPO equal torch's",
    right: () => clipFractions(ratios, perToken, mask, clip),
    holds: (fractions) => {
      const { low, high } = fractions();
      return isNear(low, rollout.figure("grpo", "clip_low"), 1e-7) && isNear(high, rollout.figure("grpo", "clip_high"), 1e-7);
    },
    mistakes: {
      "the sign of the advantage is ignored": () => ({
        low: maskedMean(
          ratios.map((x) => Number(x < 1 - clip.low)),
          mask,
        ),
        high: maskedMean(
          ratios.map((x) => Number(x > 1 + clip.high)),
          mask,
        ),
      }),
      "the advantage has the wrong sign": () =>
        clipFractions(
          ratios,
          perToken.map((x) => -x),
          mask,
          clip,
        ),
      "padding counts": () => clipFractions(ratios, perToken, new Uint8Array(mask.length).fill(1), clip),
      "advantages of columns": () =>
        clipFractions(
          ratios,
          perToken.map((_, i) => advantages[i % rollout.rows] ?? 0),
          mask,
          clip,
        ),
    },
  });

  expose<(values: readonly number[]) => number>({
    claim: "the variance of a sample is unbiased: its mean over all samples of two or three coins is ¼",
    right: (values) => meanAndStd(values).std ** 2,
    holds: (sampleVariance) =>
      [2, 3].every((coins) => {
        const samples = Array.from({ length: 2 ** coins }, (_, bits) => Array.from({ length: coins }, (_, i) => (bits >> i) & 1));
        return isNear(meanAndStd(samples.map(sampleVariance)).mean, 0.25, 1e-15);
      }),
    mistakes: {
      "population variance": (values) => (meanAndStd(values).std ** 2 * (values.length - 1)) / values.length,
      "half of the range": (values) => (Math.max(...values) - Math.min(...values)) / 2,
    },
  });

  expose<(rewards: Float32Array) => number>({
    claim: "the share of groups without spread equals torch's",
    right: (rewards) => rewardMetrics(rewards, 4).flatGroupShare,
    holds: (share) => share(array("rewards")) === figure("frac_reward_zero_std"),
    mistakes: {
      "rows of a group are not neighbours": (rewards) =>
        rewardMetrics(
          rewards.map((_, i) => rewards[(i % 4) * (rewards.length / 4) + Math.floor(i / 4)] ?? 0),
          4,
        ).flatGroupShare,
      "groups with a reward of 0": (rewards) => rewards.filter((x) => x === 0).length / rewards.length,
    },
  });

  expose<() => number>({
    claim: "the share cut off equals the truncated rows of the golden",
    right: () => completionMetrics(array("completion_ids"), mask, rollout.rows, [261, 1]).cutOffShare,
    holds: (share) => share() === rollout.truncatedRows.length / rollout.rows,
    mistakes: {
      "<eos> is the only stop token": () => completionMetrics(array("completion_ids"), mask, rollout.rows, [1]).cutOffShare,
      "padding is part of the row": () =>
        completionMetrics(array("completion_ids"), new Uint8Array(mask.length).fill(1), rollout.rows, [261, 1]).cutOffShare,
    },
  });

  const [logps, referenceLogps] = [rollout.array("dpo", "logps"), rollout.array("dpo", "reference_logps")] as const;
  const pairs = logps.length / 2;
  const halves = (values: Float32Array) => [values.subarray(0, pairs), values.subarray(pairs)] as const;
  const dpo = (values: Float32Array, frozen: Float32Array): { readonly rewardChosen: number; readonly accuracy: number } => {
    const [[chosen, rejected], [referenceChosen, referenceRejected]] = [halves(values), halves(frozen)];
    return dpoMetrics({ chosen, rejected, referenceChosen, referenceRejected }, rollout.figure("dpo", "beta"));
  };
  expose<() => { readonly rewardChosen: number; readonly accuracy: number }>({
    claim: "DPO's reward of chosen answers and its accuracy equal torch's",
    right: () => dpo(logps, referenceLogps),
    holds: (metrics) => {
      const { rewardChosen, accuracy } = metrics();
      return (
        isNear(rewardChosen, rollout.figure("dpo", "rewards_chosen"), tolerance.tokenMeans) &&
        accuracy === rollout.figure("dpo", "accuracy")
      );
    },
    mistakes: {
      "no reference": () =>
        dpo(
          logps,
          referenceLogps.map(() => 0),
        ),
      "rejected rows first": () => dpo(Float32Array.from([...logps.subarray(pairs), ...logps.subarray(0, pairs)]), referenceLogps),
      "no β": () => ({
        ...dpo(logps, referenceLogps),
        rewardChosen: dpo(logps, referenceLogps).rewardChosen / rollout.figure("dpo", "beta"),
      }),
    },
  });

  expose<(chosen: readonly number[], rejected: readonly number[]) => number>({
    claim: "the accuracies of a pair and of the exchanged pair add to at most 1",
    right: (chosen, rejected) => pairMetrics(chosen, rejected).accuracy,
    holds: (accuracy) => {
      const score = fc.integer({ min: 0, max: 2 });
      return holdsFor(fc.property(score, score, (a, b) => accuracy([a], [b]) + accuracy([b], [a]) <= 1));
    },
    mistakes: { "equal scores are right": (chosen, rejected) => chosen.filter((x, i) => x >= (rejected[i] ?? 0)).length / chosen.length },
  });
});
