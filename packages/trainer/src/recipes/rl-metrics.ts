import type { ChatTokenizer } from "@lapidary/data";
import { ensure } from "@lapidary/std";
import type { RlStepMetrics } from "../rl/step-metrics.js";
import type { StepMetrics } from "./recipe.js";

/** The names that metrics give to the tokens that end a completion. */
export const stopNames = ({ control: { endOfTurn, eos } }: Pick<ChatTokenizer, "control">): ReadonlyMap<number, string> =>
  new Map([...(eos === undefined ? [] : [[eos, "eos"] as const]), [endOfTurn, "end_of_turn"]]);

/**
 * The metrics of a step of reinforcement learning by the names that rows of metrics have. Times are in milliseconds. The digest of a step has none of
 * `more`, so that times do not change it.
 *
 * @param rows completions of the step
 */
export function rlStepMetrics(metrics: RlStepMetrics, rows: number, stops: ReadonlyMap<number, string>): StepMetrics {
  const { rewards, completions } = metrics;
  const score = ensure(rewards.get("score"), "score");
  const sources = [...rewards].flatMap(([name, { mean }]) => (name === "score" ? [] : [[`reward_${name}`, mean] as const]));
  return {
    loss: metrics.loss,
    grad_norm: metrics.gradNorm,
    learning_rate: metrics.learningRate,
    tokens_counted: Math.round(completions.lengthMean * rows),
    more: {
      reward: score.mean,
      reward_std: score.std,
      ...Object.fromEntries(sources),
      flat_groups: score.flatGroupShare,
      ...policyMetrics(metrics),
      length: completions.lengthMean,
      length_max: completions.lengthMax,
      cut_off: completions.cutOffShare,
      ...Object.fromEntries([...completions.stoppedShare].map(([id, share]) => [`stopped_${stops.get(id) ?? id}`, share])),
      ...valueMetrics(metrics),
      ...timeMetrics(metrics),
    },
  };
}

const policyMetrics = ({ kl, klPerCompletion, entropy, ratio, clip, logProbGap }: RlStepMetrics): Record<string, number> => ({
  kl: kl.full,
  kl_completion: klPerCompletion,
  kl_k1: kl.k1,
  kl_k3: kl.k3,
  entropy,
  ratio_mean: ratio.mean,
  ratio_max: ratio.max,
  clip_low: clip.low,
  clip_high: clip.high,
  log_prob_gap: logProbGap.max,
  log_prob_gap_mean: logProbGap.mean,
});

/** A variance that is not explained, because all returns are equal, is left out. */
function valueMetrics({ value }: RlStepMetrics): Record<string, number> {
  if (value === undefined) return {};
  const { loss, clipFraction, explainedVariance } = value;
  return {
    value_loss: loss,
    value_clip: clipFraction,
    ...(explainedVariance === undefined ? {} : { explained_variance: explainedVariance }),
  };
}

const timeMetrics = ({ ms, tokensPerSecond }: RlStepMetrics): Record<string, number> => ({
  rollout_tokens_per_s: tokensPerSecond.rollout,
  update_tokens_per_s: tokensPerSecond.update,
  prefill_ms: ms.prefill,
  decode_ms: ms.decode,
  score_ms: ms.score,
  reference_ms: ms.reference,
  update_ms: ms.update,
});
