import type { GraphBuilder, Value } from "@lapidary/ir";
import { maskedMean, perToken, rowSums, sumAll } from "./arithmetic.js";

/** What a rollout of B rows gave. Rows of a group share their prompt and are neighbours: G·i to G·i + G − 1. */
export interface RolloutValues {
  /** f32[B]: the reward of each completion. */
  readonly scores: Value;
  /** f32[B, T], 1 where the target is a token of the completion. */
  readonly mask: Value;
  /** f32[B, T]: log-probabilities under the policy that drew the completion. */
  readonly oldLogps: Value;
  /** f32[B, T]: log-probabilities under the frozen reference. */
  readonly referenceLogps: Value;
}

/** Σ over the group without the row itself, and the number of the others. */
function groupSums(g: GraphBuilder, rows: Value, generations: number): { grouped: Value; sums: Value } {
  const grouped = g.reshape(rows, [(rows.type.dims[0] ?? 0) / generations, generations]);
  return { grouped, sums: g.broadcastInDim(g.reduce(grouped, [1], "sum"), grouped.type.dims, [0]) };
}

/** REINFORCE (Williams 1992) with a KL term: A = score − β Σ_t (old − reference). @returns f32[B] */
export function reinforceAdvantages(g: GraphBuilder, { scores, mask, oldLogps, referenceLogps }: RolloutValues, beta: number): Value {
  const kl = rowSums(g, g.multiply(g.subtract(oldLogps, referenceLogps), mask));
  return g.subtract(scores, g.scale(kl, beta));
}

/**
 * REINFORCE leave-one-out (Ahmadian et al. 2024): R as in `reinforceAdvantages`; A = R − mean of the other rows of the group.
 *
 * @returns f32[B]
 */
export function rlooAdvantages(
  g: GraphBuilder,
  rollout: RolloutValues,
  { beta, generations }: { readonly beta: number; readonly generations: number },
): Value {
  const { grouped, sums } = groupSums(g, reinforceAdvantages(g, rollout, beta), generations);
  const others = g.scale(g.subtract(sums, grouped), 1 / (generations - 1));
  return g.named("advantages", g.reshape(g.subtract(grouped, others), rollout.scores.type.dims));
}

/**
 * GRPO (Shao et al. 2024): A = (score − mean) / (std + 1e-4) within the group, std with G − 1.
 *
 * @returns f32[B]
 */
export function grpoAdvantages(g: GraphBuilder, scores: Value, generations: number): Value {
  const { grouped, sums } = groupSums(g, scores, generations);
  const centered = g.subtract(grouped, g.scale(sums, 1 / generations));
  const variance = g.scale(g.reduce(g.square(centered), [1], "sum"), 1 / (generations - 1));
  const std = g.broadcastInDim(g.offset(g.sqrt(variance), 1e-4), grouped.type.dims, [0]);
  return g.named("advantages", g.reshape(g.divide(centered, std), scores.type.dims));
}

export interface GaeConfig {
  readonly klCoef: number;
  readonly gamma: number;
  readonly lambda: number;
}

/**
 * Generalized advantage estimation (Schulman et al. 2016) over the tokens of each completion:
 *
 *     r_t = −klCoef · (old − reference)_t, plus the score at the last token
 *     δ_t = r_t + γ V_{t+1} − V_t          A_t = Σ_k (γλ)^k δ_{t+k}
 *
 * The sums over k take log2(T) additions of shifted rows, each exact in f32. Returns are A + V. Advantages are then whitened over the tokens
 * of the batch (n − 1, 1e-8).
 *
 * @param values f32[B, T]: V where the completion's token is predicted
 * @returns f32[B, T] each
 */
export function gaeAdvantages(
  g: GraphBuilder,
  { scores, mask, oldLogps, referenceLogps }: RolloutValues,
  values: Value,
  { klCoef, gamma, lambda }: GaeConfig,
): { rewards: Value; gae: Value; returns: Value; advantages: Value } {
  const T = mask.type.dims[1] ?? 0;
  const v = g.multiply(values, mask);
  const penalty = g.scale(g.multiply(g.subtract(oldLogps, referenceLogps), mask), -klCoef);
  const isLast = g.multiply(mask, g.offset(g.negate(shiftLeft(g, mask, 1)), 1));
  const rewards = g.named("token_rewards", g.add(penalty, g.multiply(perToken(g, scores, mask), isLast)));
  const delta = g.subtract(g.add(rewards, g.scale(shiftLeft(g, v, 1), gamma)), v);
  let sums = g.multiply(delta, mask);
  for (let reach = 1; reach < T; reach *= 2) sums = g.add(sums, g.scale(shiftLeft(g, sums, reach), (gamma * lambda) ** reach));
  const gae = g.named("gae", g.multiply(sums, mask));
  return { rewards, gae, returns: g.named("returns", g.add(gae, v)), advantages: whiten(g, gae, mask) };
}

/** x[:, t + by], 0 after the end. */
function shiftLeft(g: GraphBuilder, x: Value, by: number): Value {
  const [B = 0, T = 0] = x.type.dims;
  return g.pad(g.slice(x, [0, by], [B, T]), [0, 0], [0, by]);
}

/** (x − mean) / √(variance + 1e-8) over the tokens of the mask, the variance with n − 1. */
function whiten(g: GraphBuilder, x: Value, mask: Value): Value {
  const fill = (scalar: Value): Value => g.broadcastInDim(scalar, x.type.dims, []);
  const centered = g.multiply(g.subtract(x, fill(maskedMean(g, x, mask))), mask);
  const variance = g.divide(sumAll(g, g.square(centered)), g.maximum(g.offset(sumAll(g, mask), -1), g.scalar(1)));
  return g.named("advantages", g.multiply(centered, fill(g.rsqrt(g.offset(variance, 1e-8)))));
}
