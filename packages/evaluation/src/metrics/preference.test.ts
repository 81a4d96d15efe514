import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { dpoMetrics, pairMetrics, rewardModelMetrics } from "../index.js";
import { near, rolloutBundles, rolloutGolden, tolerance } from "../testing/golden.js";

/** The goldens store the chosen rows first, then the rejected rows. */
const halves = (values: Float32Array): readonly [Float32Array, Float32Array] => [
  values.subarray(0, values.length / 2),
  values.subarray(values.length / 2),
];

/** Number of tokens of each row of a mask [2B, T]. */
const rowLengths = (mask: Float32Array, rows: number): Float32Array => {
  const width = mask.length / rows;
  return Float32Array.from({ length: rows }, (_, r) => mask.subarray(r * width, (r + 1) * width).reduce((sum, x) => sum + x, 0));
};

for (const bundle of rolloutBundles)
  describe(`metrics of pairs of ${bundle}`, () => {
    const golden = rolloutGolden(bundle);

    it("have the reward model's accuracy of the golden, and every pair is in one length bin", () => {
      const scores = golden.array("reward_model", "scores");
      const [chosen, rejected] = halves(scores);
      const [chosenLengths, rejectedLengths] = halves(rowLengths(golden.array("reward_model", "attention_mask"), scores.length));
      const metrics = rewardModelMetrics({ chosen, rejected, chosenLengths, rejectedLengths });
      strictEqual(metrics.accuracy, golden.figure("reward", "accuracy"));
      strictEqual(
        metrics.byLengthDifference.reduce((sum, { pairs }) => sum + pairs, 0),
        metrics.pairs,
      );
      const weighted = metrics.byLengthDifference.reduce((sum, { pairs, accuracy }) => sum + pairs * accuracy, 0);
      near(weighted / metrics.pairs, metrics.accuracy, 1e-15);
    });

    it("have DPO's rewards and accuracy of the golden", () => {
      const [chosen, rejected] = halves(golden.array("dpo", "logps"));
      const [referenceChosen, referenceRejected] = halves(golden.array("dpo", "reference_logps"));
      const metrics = dpoMetrics({ chosen, rejected, referenceChosen, referenceRejected }, golden.figure("dpo", "beta"));
      near(metrics.rewardChosen, golden.figure("dpo", "rewards_chosen"), tolerance.tokenMeans);
      near(metrics.rewardRejected, golden.figure("dpo", "rewards_rejected"), tolerance.tokenMeans);
      strictEqual(metrics.accuracy, golden.figure("dpo", "accuracy"));
      near(metrics.marginMean, metrics.rewardChosen - metrics.rewardRejected, 1e-12);
    });
  });

describe("metrics of held-out pairs", () => {
  const score = fc.integer({ min: -3, max: 3 });
  const pairs = fc.array(fc.record({ chosen: score, rejected: score, longer: fc.integer({ min: -100, max: 100 }) }), { minLength: 1 });

  it("count equal scores as wrong, so that exchanging the pair does not make them right", () => {
    fc.assert(
      fc.property(pairs, (some) => {
        const [chosen, rejected] = [some.map((each) => each.chosen), some.map((each) => each.rejected)];
        const [a, b] = [pairMetrics(chosen, rejected), pairMetrics(rejected, chosen)];
        near(a.accuracy + b.accuracy + a.equalShare, 1, 1e-12);
        near(a.marginMean, -b.marginMean, 1e-12);
        near(a.marginStd, b.marginStd, 1e-12);
      }),
    );
    strictEqual(pairMetrics([1, 1], [1, 1]).accuracy, 0);
  });

  it("split the pairs by length difference without loss and in ascending order", () => {
    fc.assert(
      fc.property(pairs, (some) => {
        const { byLengthDifference, pairs: all } = rewardModelMetrics({
          chosen: some.map((each) => each.chosen),
          rejected: some.map((each) => each.rejected),
          chosenLengths: some.map((each) => 200 + each.longer),
          rejectedLengths: some.map(() => 200),
        });
        strictEqual(
          byLengthDifference.reduce((sum, bin) => sum + bin.pairs, 0),
          all,
        );
        for (const { minimum, limit, pairs: inside } of byLengthDifference)
          strictEqual(inside, some.filter(({ longer }) => longer >= minimum && longer < limit).length);
        deepStrictEqual(
          byLengthDifference.map(({ minimum }) => minimum),
          byLengthDifference.map(({ minimum }) => minimum).toSorted((x, y) => x - y),
        );
      }),
    );
  });

  it("expose a model that scores length: correlation 1, right for longer chosen answers only", () => {
    const chosenLengths = [30, 12, 45, 8];
    const rejectedLengths = [10, 20, 40, 9];
    const metrics = rewardModelMetrics({ chosen: chosenLengths, rejected: rejectedLengths, chosenLengths, rejectedLengths });
    near(metrics.lengthCorrelation ?? Number.NaN, 1, 1e-12);
    deepStrictEqual(
      metrics.byLengthDifference.map(({ minimum, accuracy, pairs: inside }) => [minimum, accuracy, inside]),
      [
        [-16, 0, 2],
        [1, 1, 1],
        [17, 1, 1],
      ],
    );
    strictEqual(
      rewardModelMetrics({ chosen: [1, 2], rejected: [0, 0], chosenLengths: [5, 5], rejectedLengths: [5, 5] }).lengthCorrelation,
      undefined,
    );
  });

  it("are refused without pairs", () => throws(() => pairMetrics([], []), { code: "LAP_EVALUATION_EMPTY" }));
});
