import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  clipFractions,
  completionMetrics,
  distributionMetrics,
  klEstimates,
  logProbGap,
  maskedMean,
  meanAndStd,
  ratioMetrics,
  repeatForTokens,
  rewardMetrics,
  type Rollout,
  rolloutMetrics,
  rowRatios,
  tokenRatios,
  valueMetrics,
} from "../index.js";
import { near, rolloutBundles, rolloutGolden, tolerance } from "../testing/golden.js";

const endOfTurn = 261;
const eos = 1;

for (const bundle of rolloutBundles) {
  const golden = rolloutGolden(bundle);
  const array = (name: string): Float32Array => golden.array("rollout", name);
  const mask = array("completion_mask");
  const groupSize = golden.figure("rollout", "generations");

  const rollout: Rollout = {
    rows: golden.rows,
    groupSize,
    ids: array("completion_ids"),
    mask,
    stopIds: [endOfTurn, eos],
    rewards: new Map([["golden", array("rewards")]]),
    logProbs: {
      current: array("logps"),
      old: array("old_logps"),
      reference: array("reference_logps"),
      sampler: array("old_logps"),
    },
    entropy: array("entropy"),
    fullKl: array("kl"),
    advantages: array("grpo_advantages"),
    clip: { low: golden.figure("grpo", "clip"), high: golden.figure("grpo", "clip") },
    ratioOf: "token",
  };

  describe(`the metrics of the rollout ${bundle}`, () => {
    const metrics = rolloutMetrics(rollout);
    const figure = (name: string): number => golden.figure("rollout", name);

    it("equal the figures of torch: entropy, KL, ratio and reward", () => {
      near(metrics.entropy, figure("entropy"), tolerance.tokenMeans, "entropy");
      near(metrics.kl.full, figure("kl_full"), tolerance.tokenMeans, "full KL");
      near(metrics.kl.k1, figure("kl_k1"), tolerance.tokenMeans, "k1");
      near(metrics.kl.k3, figure("kl_k3"), tolerance.tokenMeans, "k3");
      near(metrics.ratio.mean, figure("ratio_mean"), tolerance.tokenMeans, "mean ratio");
      near(metrics.ratio.approximateKl, figure("approx_kl_old"), tolerance.tokenMeans, "KL to the old policy");
      const reward = metrics.rewards.get("golden");
      near(reward?.mean ?? Number.NaN, figure("reward_mean"), tolerance.tokenMeans, "reward");
      strictEqual(reward?.flatGroupShare, figure("frac_reward_zero_std"));
    });

    it("equal the clip fractions of GRPO by token, of RLOO by row and of PPO with an advantage a token", () => {
      near(metrics.clip.low, golden.figure("grpo", "clip_low"), 1e-7);
      near(metrics.clip.high, golden.figure("grpo", "clip_high"), 1e-7);
      const byRow = rolloutMetrics({ ...rollout, ratioOf: "row", advantages: array("rloo_advantages") });
      strictEqual(byRow.clip.total, golden.figure("rloo", "clip_fraction"));
      const byToken = rolloutMetrics({ ...rollout, advantages: golden.array("ppo", "advantages") });
      near(byToken.clip.total, golden.figure("ppo", "clip_fraction"), 1e-7);
    });

    it("equal the value clip fraction of PPO", () => {
      const [values, oldValues, returns] = [
        golden.array("ppo", "values"),
        golden.array("ppo", "old_values"),
        golden.array("ppo", "returns"),
      ] as const;
      const { clipFraction } = valueMetrics({ values, oldValues, returns }, mask, golden.figure("ppo", "clip_value"));
      near(clipFraction, golden.figure("ppo", "value_clip_fraction"), 1e-7);
    });

    it("count the truncated rows as cut off, and all other rows as ended by <end_of_turn>", () => {
      const { cutOffShare, stoppedShare, lengthMax, lengthMean } = metrics.completions;
      strictEqual(cutOffShare, golden.truncatedRows.length / golden.rows);
      deepStrictEqual(
        [...stoppedShare],
        [
          [endOfTurn, 1 - cutOffShare],
          [eos, 0],
        ],
      );
      ok(lengthMax <= golden.width);
      near(
        lengthMean * golden.rows,
        mask.reduce((sum, each) => sum + each, 0),
        1e-9,
      );
    });

    it("report a gap of 0 where sampler and trainer agree", () => deepStrictEqual(metrics.logProbGap, { mean: 0, max: 0 }));

    it("do not depend on values under a mask of 0", () => {
      const spoilt = (values: ArrayLike<number>): Float32Array => Float32Array.from(values, (x, i) => (mask[i] === 0 ? Number.NaN : x));
      const { current, old, reference, sampler } = rollout.logProbs;
      const logProbs = { current: spoilt(current), old: spoilt(old), reference: spoilt(reference), sampler: spoilt(sampler) };
      for (const change of [{}, { ratioOf: "row" as const, advantages: array("rloo_advantages") }])
        deepStrictEqual(
          rolloutMetrics({
            ...rollout,
            ...change,
            ids: spoilt(rollout.ids),
            logProbs,
            entropy: spoilt(rollout.entropy),
            fullKl: spoilt(rollout.fullKl),
          }),
          rolloutMetrics({ ...rollout, ...change }),
        );
    });
  });
}

describe("reward metrics", () => {
  it("have the standard deviation of a sample, with n − 1", () => {
    const { mean, std, flatGroupShare } = rewardMetrics([1, 2, 3, 4], 2);
    deepStrictEqual([mean, flatGroupShare], [2.5, 0]);
    near(std, Math.sqrt(5 / 3), 1e-15);
    strictEqual(meanAndStd([7]).std, 0);
  });

  it("keep their spread if a constant is added, and scale with a factor", () => {
    const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 2, maxLength: 50 });
    fc.assert(
      fc.property(values, fc.integer({ min: -1000, max: 1000 }), (some, shift) => {
        const { mean, std } = meanAndStd(some);
        const moved = meanAndStd(some.map((x) => 2 * x + shift));
        near(moved.mean, 2 * mean + shift, 1e-9);
        near(moved.std, 2 * std, 1e-9);
      }),
    );
  });

  it("count a group as flat only if all of its rewards are equal", () => {
    strictEqual(rewardMetrics([1, 1, 0, 1, 0, 0], 2).flatGroupShare, 2 / 3);
    strictEqual(rewardMetrics([1, 0, 0, 1, 1, 0], 2).flatGroupShare, 0);
    throws(() => rewardMetrics([1, 2, 3], 2), /rows form whole groups/);
  });
});

const logits = (size: number): fc.Arbitrary<number[]> =>
  fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: size, maxLength: size });

describe("estimates of the KL", () => {
  it("k1 and k3 both have the full KL as their mean under the policy", () => {
    fc.assert(
      fc.property(logits(6), logits(6), (p, q) => {
        const logP = logSoftmax(p);
        const logQ = logSoftmax(q);
        const full = distributionMetrics(p, q, 6).kl[0] ?? Number.NaN;
        let [k1, k3] = [0, 0];
        for (const [v, each] of logP.entries()) {
          const estimate = klEstimates([each], [logQ[v] ?? Number.NaN], [1]);
          ok(estimate.k3 >= 0);
          k1 += Math.exp(each) * estimate.k1;
          k3 += Math.exp(each) * estimate.k3;
        }
        near(k1, full, 1e-12, "k1");
        near(k3, full, 1e-10, "k3");
        ok(full >= 0);
      }),
    );
  });

  it("are 0 if policy and reference are equal", () => {
    const some = Float32Array.of(-1, -2, -3);
    deepStrictEqual(klEstimates(some, some, [1, 1, 1]), { k1: 0, k3: 0 });
    deepStrictEqual([...distributionMetrics([1, 2, 3, 4], [1, 2, 3, 4], 2).kl], [0, 0]);
  });

  it("of a hand-made distribution are those of the definition, at the temperature of sampling", () => {
    const ln2 = Math.LN2;
    const { entropy, kl } = distributionMetrics([0, ln2 * 2], [0, 0], 2, 2);
    // Logits / 2 are 0 and ln 2: probabilities 1/3 and 2/3 against 1/2 and 1/2.
    near(entropy[0] ?? Number.NaN, Math.log(3) - (2 / 3) * ln2, 1e-15);
    near(kl[0] ?? Number.NaN, (1 / 3) * Math.log(2 / 3) + (2 / 3) * Math.log(4 / 3), 1e-15);
    const minus = Number.NEGATIVE_INFINITY;
    deepStrictEqual([...distributionMetrics([0, minus], [0, 0], 2).entropy, ...distributionMetrics([0, minus], [5, minus], 2).kl], [0, 0]);
    strictEqual(distributionMetrics([0, 0], [0, minus], 2).kl[0], Number.POSITIVE_INFINITY);
    throws(() => distributionMetrics([0, 0], [0, 0], 2, 0), { code: "LAP_EVALUATION_SETTING" });
  });

  it("bound the entropy by the logarithm of the vocabulary", () => {
    fc.assert(
      fc.property(logits(5), (p) => {
        const entropy = distributionMetrics(p, p, 5).entropy[0] ?? Number.NaN;
        ok(entropy >= 0 && entropy <= Math.log(5) + 1e-12);
      }),
    );
  });
});

function logSoftmax(row: readonly number[]): number[] {
  const sum = Math.log(row.reduce((total, x) => total + Math.exp(x), 0));
  return row.map((x) => x - sum);
}

describe("ratios and clipping", () => {
  it("the ratio of a row is the product of the ratios of its tokens", () => {
    const token = fc.double({ min: -3, max: 0, noNaN: true });
    const four = fc.array(token, { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(four, four, fc.array(fc.constantFrom(0, 1), { minLength: 8, maxLength: 8 }), (current, old, mask) => {
        const tokens = tokenRatios(current, old, mask);
        const rows = rowRatios(current, old, mask, 2);
        for (const [row, ratio] of rows.entries()) {
          const product = tokens.slice(4 * row, 4 * row + 4).reduce((all, each) => all * each, 1);
          near(ratio, product, 1e-12 * product);
        }
      }),
    );
  });

  it("a ratio is clipped only where clipping lowers min(ρA, clip(ρ)A)", () => {
    const ratio = fc.double({ min: 0, max: 3, noNaN: true });
    fc.assert(
      fc.property(ratio, fc.constantFrom(-2, -1, 0, 1, 2), (rho, advantage) => {
        const range = { low: 0.2, high: 0.28 };
        const clipped = Math.min(1 + range.high, Math.max(1 - range.low, rho));
        const { low, high, total } = clipFractions([rho], [advantage], [1], range);
        strictEqual(total, Number(clipped * advantage < rho * advantage));
        strictEqual(low + high, total);
        if (low === 1) ok(rho < 1 && advantage < 0);
      }),
    );
  });

  it("an unchanged policy has ratios of 1, clips nothing and has no KL to itself", () => {
    const some = Float32Array.of(-0.5, -1.25, -3, -0.125);
    const ones = [1, 1, 1, 1];
    deepStrictEqual(ratioMetrics(some, some, ones), { mean: 1, max: 1, approximateKl: 0 });
    deepStrictEqual(clipFractions(tokenRatios(some, some, ones), [1, -1, 1, -1], ones, { low: 0.2, high: 0.2 }).total, 0);
    deepStrictEqual([...repeatForTokens([1, 2], 3)], [1, 1, 1, 2, 2, 2]);
  });

  it("reports the largest gap between sampler and trainer", () =>
    deepStrictEqual(logProbGap([-1, -2, -9], [-1.5, -2, -1], [1, 1, 0]), { mean: 0.25, max: 0.5 }));
});

describe("metrics of completions and values", () => {
  it("a row without tokens is cut off, and a stop token inside of a row does not end it", () => {
    const ids = [5, 1, 7, 5, 7, 1, 0, 0, 0];
    const mask = [1, 1, 1, 1, 1, 1, 0, 0, 0];
    const { cutOffShare, stoppedShare, lengthMean, lengthMax } = completionMetrics(ids, mask, 3, [1, 9]);
    deepStrictEqual([cutOffShare, stoppedShare.get(1), stoppedShare.get(9), lengthMean, lengthMax], [2 / 3, 1 / 3, 0, 2, 3]);
  });

  it("explained variance is 1 for exact values, 0 for constant values and undefined for constant returns", () => {
    const [mask, returns] = [
      [1, 1, 1, 1],
      [1, 2, 3, 5],
    ] as const;
    const explained = (values: readonly number[], some: readonly number[] = returns): number | undefined =>
      valueMetrics({ values, oldValues: values, returns: some }, mask, 0.2).explainedVariance;
    strictEqual(explained(returns), 1);
    strictEqual(explained(returns.map((x) => x + 4)), 1);
    strictEqual(explained([2, 2, 2, 2]), 0);
    strictEqual(explained([1, 2, 3, 4], [3, 3, 3, 3]), undefined);
  });

  it("a mean over tokens is one division, not a mean of the means of rows", () => {
    strictEqual(maskedMean([1, 0, 0, 4, 4, 4], [1, 0, 0, 1, 1, 1]), 13 / 4);
    ok(Number.isNaN(maskedMean([1, 2], [0, 0])));
    throws(() => maskedMean([1, 2], [1]), /values has the length/);
  });
});
