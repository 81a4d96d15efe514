import { deepStrictEqual } from "node:assert/strict";
import { PairFigures, preferenceMetrics, rewardMetrics } from "./pair-metrics.js";

const figures = (
  rows: readonly (readonly [chosen: number, rejected: number, chosenLength: number, rejectedLength: number])[],
): PairFigures => {
  const all = new PairFigures();
  for (const [chosen, rejected, chosenLength, rejectedLength] of rows) {
    all.chosen.push(chosen);
    all.rejected.push(rejected);
    all.chosenLengths.push(chosenLength);
    all.rejectedLengths.push(rejectedLength);
    all.referenceChosen.push(-1);
    all.referenceRejected.push(-1);
  }
  return all;
};

describe("metrics of pairs", () => {
  it("the accuracy of a reward model that prefers length is 1 where the chosen answer is longer, and 0 where it is shorter", () => {
    const metrics = rewardMetrics(
      figures([
        [5, 3, 5, 3],
        [9, 70, 9, 70],
        [20, 1, 20, 1],
        [4, 4, 4, 4],
        [1, 100, 1, 100],
      ]),
    );
    const of = (name: string): Record<string, number> =>
      Object.fromEntries(Object.entries(metrics).filter(([each]) => each.startsWith(`${name}_`) && each !== "margin_std"));
    deepStrictEqual(of("accuracy"), {
      accuracy_shorter_65: 0,
      accuracy_shorter_17_64: 0,
      accuracy_equal_length: 0,
      accuracy_longer_1_16: 1,
      accuracy_longer_17_64: 1,
    });
    deepStrictEqual(of("margin"), {
      margin_shorter_65: -99,
      margin_shorter_17_64: -61,
      margin_equal_length: 0,
      margin_longer_1_16: 2,
      margin_longer_17_64: 19,
    });
    deepStrictEqual([metrics["accuracy"], metrics["equal_scores"], metrics["length_correlation"]?.toFixed(6)], [0.4, 0.2, "1.000000"]);
    deepStrictEqual([metrics["score_chosen"], metrics["score_rejected"], metrics["score_mean"]], [7.8, 35.6, 21.7]);
  });

  it("a reward of direct preference optimization is β times the gain of log-probability over the reference", () => {
    const metrics = preferenceMetrics(
      figures([
        [-0.5, -2, 3, 3],
        [-1.5, -3, 3, 3],
      ]),
      0.5,
    );
    const { reward_chosen, reward_rejected, logp_chosen, logp_rejected, margin, accuracy } = metrics;
    deepStrictEqual([reward_chosen, reward_rejected, logp_chosen, logp_rejected, margin, accuracy], [0, -0.75, -1, -2.5, 0.75, 1]);
  });
});
