import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { RlStepMetrics } from "../rl/step-metrics.js";
import { rlStepMetrics, stopNames } from "./rl-metrics.js";

const metrics: RlStepMetrics = {
  rewards: new Map([
    ["checker", { mean: 1, std: 0, flatGroupShare: 0 }],
    ["score", { mean: 2, std: 3, flatGroupShare: 0.5 }],
  ]),
  kl: { full: 4, k1: 5, k3: 6 },
  klPerCompletion: 7,
  entropy: 8,
  ratio: { mean: 9, max: 10, approximateKl: 0 },
  clip: { low: 11, high: 12, total: 23 },
  logProbGap: { mean: 13, max: 14 },
  completions: {
    lengthMean: 2.5,
    lengthMax: 3,
    cutOffShare: 0.2,
    stoppedShare: new Map([
      [107, 0.7],
      [1, 0.1],
    ]),
  },
  loss: 15,
  gradNorm: 16,
  learningRate: 17,
  ms: { prefill: 1, decode: 2, score: 3, reference: 4, update: 5 },
  tokensPerSecond: { rollout: 18, update: 19 },
};
const stops = stopNames({ control: { bos: 2, eos: 1, startOfTurn: 106, endOfTurn: 107 } });

describe("the metrics of a step of rl", () => {
  it("rows of metrics have every figure of a step by one name", () => {
    const { more, ...logged } = rlStepMetrics(metrics, 4, stops);
    deepStrictEqual(logged, { loss: 15, grad_norm: 16, learning_rate: 17, tokens_counted: 10 });
    deepStrictEqual(more, {
      reward: 2,
      reward_std: 3,
      reward_checker: 1,
      flat_groups: 0.5,
      kl: 4,
      kl_completion: 7,
      kl_k1: 5,
      kl_k3: 6,
      entropy: 8,
      ratio_mean: 9,
      ratio_max: 10,
      clip_low: 11,
      clip_high: 12,
      log_prob_gap: 14,
      log_prob_gap_mean: 13,
      length: 2.5,
      length_max: 3,
      cut_off: 0.2,
      stopped_end_of_turn: 0.7,
      stopped_eos: 0.1,
      rollout_tokens_per_s: 18,
      update_tokens_per_s: 19,
      prefill_ms: 1,
      decode_ms: 2,
      score_ms: 3,
      reference_ms: 4,
      update_ms: 5,
    });
  });

  it("with a value model, a row has its loss, and no explained variance if all returns are equal", () => {
    const value = { loss: 1, clipFraction: 2, explainedVariance: 3 };
    const of = (given: RlStepMetrics["value"]): Readonly<Record<string, number>> | undefined =>
      rlStepMetrics({ ...metrics, ...(given === undefined ? {} : { value: given }) }, 4, stops).more;
    deepStrictEqual([of(value)?.["value_loss"], of(value)?.["value_clip"], of(value)?.["explained_variance"]], [1, 2, 3]);
    strictEqual("explained_variance" in (of({ ...value, explainedVariance: undefined }) ?? {}), false);
    strictEqual("value_loss" in (of(undefined) ?? {}), false);
  });

  it("times are among the further metrics alone, which no digest has", () => {
    const slow = { ...metrics, ms: { ...metrics.ms, update: 99 }, tokensPerSecond: { rollout: 1, update: 1 } };
    const { more: _, ...logged } = rlStepMetrics(metrics, 4, stops);
    const { more: __, ...loggedSlow } = rlStepMetrics(slow, 4, stops);
    deepStrictEqual(loggedSlow, logged);
  });
});
