import { deepStrictEqual, doesNotThrow, throws } from "node:assert/strict";
import { checkStep, StepWatch } from "./guards.js";
import type { RewardSource } from "./rl-settings.js";
import type { RlStepMetrics } from "./step-metrics.js";

const metrics: RlStepMetrics = {
  rewards: new Map([["rm", { mean: 1, std: 1, flatGroupShare: 0 }]]),
  kl: { full: 0, k1: 0, k3: 0 },
  klPerCompletion: 0,
  entropy: 1,
  ratio: { mean: 1, max: 1, approximateKl: 0 },
  clip: { low: 0, high: 0, total: 0 },
  logProbGap: { mean: 0, max: 0 },
  completions: { lengthMean: 4, lengthMax: 4, cutOffShare: 0, stoppedShare: new Map() },
  loss: 1,
  gradNorm: 1,
  learningRate: 0.1,
  ms: { prefill: 1, decode: 1, score: 1, reference: 1, update: 1 },
  tokensPerSecond: { rollout: 1, update: 1 },
};
const withKl = (full: number, k1 = full): RlStepMetrics => ({ ...metrics, kl: { full, k1, k3: full } });

describe("what stops a step of rl", () => {
  it("a KL at the first step is another reference, and at later steps it is the distance that training made", () => {
    throws(() => checkStep(0, withKl(0.01)), { code: "LAP_RL_REFERENCE" });
    doesNotThrow(() => checkStep(0, withKl(1e-8)));
    doesNotThrow(() => checkStep(1, withKl(0.01)));
  });

  it("guard.kl stops a step whose KL is larger", () => {
    throws(() => checkStep(3, withKl(0.6), { kl: 0.5 }), { code: "LAP_RL_KL" });
    doesNotThrow(() => checkStep(3, withKl(0.4), { kl: 0.5 }));
  });

  it("log-probabilities of sampler and trainer may differ by 1e-3, or by guard.log_prob_gap", () => {
    const apart = { ...metrics, logProbGap: { mean: 0, max: 0.002 } };
    throws(() => checkStep(1, apart), { code: "LAP_RL_SAMPLER_GAP" });
    doesNotThrow(() => checkStep(1, apart, { logProbGap: 0.01 }));
  });

  it("a step whose loss or gradients are not numbers passes, because train.guard decides about it", () => {
    for (const bad of [{ loss: Number.NaN }, { gradNorm: Number.POSITIVE_INFINITY }])
      doesNotThrow(() => checkStep(1, { ...withKl(Number.NaN), logProbGap: { mean: Number.NaN, max: Number.NaN }, ...bad }));
    throws(() => checkStep(1, withKl(Number.NaN), { kl: 1 }), { code: "LAP_RL_KL" });
  });
});

describe("what a run of rl warns about", () => {
  const model: RewardSource = { kind: "model", name: "rm", weight: 1, set: "reward0", shift: 3, scale: 0.5 };
  const known = new Map([["reward0", { mean: 5, std: 0.5 }]]);
  const codes = (watch: StepWatch, k: number, given: RlStepMetrics): string[] => watch.warningsOf(k, given).map(({ code }) => code);
  const cutOff = (cutOffShare: number): RlStepMetrics => ({ ...metrics, completions: { ...metrics.completions, cutOffShare } });

  it("more than 5 % of completions without an end cause a warning", () => {
    const watch = new StepWatch([], new Map());
    deepStrictEqual(codes(watch, 0, cutOff(0.06)), ["LAP_RL_CUT_OFF_SHARE"]);
    deepStrictEqual(codes(watch, 1, cutOff(0.05)), []);
  });

  it("the tenth step in a row with a negative estimate of the KL causes a warning", () => {
    const watch = new StepWatch([], new Map());
    for (let k = 1; k < 10; k++) deepStrictEqual(codes(watch, k, withKl(0.1, -0.1)), []);
    deepStrictEqual(codes(watch, 10, withKl(0.1, -0.1)), ["LAP_RL_KL_NEGATIVE"]);
    deepStrictEqual(codes(watch, 11, withKl(0.1)), []);
  });

  it("the raw scores of the first completions are compared with those of the reward model's own answers", () => {
    // The score after shift and scale is 1, so the raw score is 1 / 0.5 + 3 = 5.
    deepStrictEqual(codes(new StepWatch([model], known), 0, metrics), []);
    const far = { ...metrics, rewards: new Map([["rm", { mean: 2, std: 1, flatGroupShare: 0 }]]) };
    deepStrictEqual(codes(new StepWatch([model], known), 0, far), ["LAP_RL_SCORE_RANGE"]);
    deepStrictEqual(codes(new StepWatch([model], known), 1, far), []);
    deepStrictEqual(codes(new StepWatch([model], new Map()), 0, far), []);
  });
});
