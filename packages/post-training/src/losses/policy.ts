import type { GraphBuilder, Value } from "@lapidary/ir";
import { clamp, indicator, maskedMean, meanAll, perToken, rowSums, sumAll } from "./arithmetic.js";

/** Limits of the ratio ρ = exp(lp − old): 1 − low to 1 + high. */
export interface ClipRange {
  readonly low: number;
  readonly high: number;
}

export interface PolicyLoss {
  readonly loss: Value;
  /** Scalars by name. */
  readonly metrics: ReadonlyMap<string, Value>;
}

/** Log-probabilities f32[B, T] of the completions, under the policy that learns and under the policy that drew them; mask as in `RolloutValues`. */
export interface PolicyLogps {
  readonly logps: Value;
  readonly oldLogps: Value;
  readonly mask: Value;
}

/** −min(ρA, clip(ρ)A), and where the clipped product is the smaller: below, and above. */
function clippedObjective(
  g: GraphBuilder,
  ratio: Value,
  advantages: Value,
  { low, high }: ClipRange,
): { objective: Value; isLow: Value; isHigh: Value } {
  const zero = g.splat(0, advantages.type);
  const clipped = clamp(g, ratio, 1 - low, 1 + high);
  const both = (a: Value, b: Value): Value => indicator(g, g.and(a, b));
  return {
    objective: g.negate(g.minimum(g.multiply(ratio, advantages), g.multiply(clipped, advantages))),
    isLow: both(g.compare(ratio, g.splat(1 - low, ratio.type), "LT"), g.compare(advantages, zero, "LT")),
    isHigh: both(g.compare(ratio, g.splat(1 + high, ratio.type), "GT"), g.compare(advantages, zero, "GT")),
  };
}

/**
 * −mean over rows of min(ρA, clip(ρ)A), ρ the ratio of the whole row. For old = current its gradient is that of REINFORCE.
 *
 * @param advantages f32[B], constants
 */
export function rlooLoss(g: GraphBuilder, { logps, oldLogps, mask }: PolicyLogps, advantages: Value, clip: ClipRange): PolicyLoss {
  const ratio = g.named("ratio", g.exponential(rowSums(g, g.multiply(g.subtract(logps, oldLogps), mask))));
  const { objective, isLow, isHigh } = clippedObjective(g, ratio, g.stopGradient(advantages), clip);
  return {
    loss: meanAll(g, objective),
    metrics: new Map([
      ["clip_fraction", meanAll(g, g.add(isLow, isHigh))],
      ["ratio_mean", meanAll(g, ratio)],
    ]),
  };
}

export interface GrpoConfig {
  readonly clip: ClipRange;
  /** Weight of the KL term to the reference, k3 = e^(ref − lp) − (ref − lp) − 1. */
  readonly beta: number;
  /** Multiplies k3 by ρ: its gradient is then that of the KL without bias. */
  readonly klWeight: boolean;
  /**
   * - `grpo`: mean over rows of the mean over the row's tokens;
   * - `dapo`, `bnpo`: mean over all tokens;
   * - `dr_grpo`: sum over all tokens / (rows · `maxNewTokens`).
   */
  readonly reduction: "grpo" | "dapo" | "bnpo" | "dr_grpo";
  readonly maxNewTokens: number;
}

/**
 * Token losses −min(ρA, clip(ρ)A) + β k3.
 *
 * @param advantages f32[B], constants
 * @param referenceLogps f32[B, T]
 * @param counted f32[B, T]: the mask without the rows that do not count
 */
export function grpoLoss(
  g: GraphBuilder,
  { logps, oldLogps, mask }: PolicyLogps,
  { advantages, referenceLogps, counted }: { readonly advantages: Value; readonly referenceLogps: Value; readonly counted: Value },
  config: GrpoConfig,
): PolicyLoss {
  const ratio = g.exponential(g.multiply(g.subtract(logps, oldLogps), mask));
  const spread = perToken(g, g.stopGradient(advantages), mask);
  const { objective, isLow, isHigh } = clippedObjective(g, ratio, spread, config.clip);
  const k3 = klEstimate(g, logps, referenceLogps, mask);
  const penalty = g.scale(config.klWeight ? g.multiply(k3, ratio) : k3, config.beta);
  return {
    loss: reduceTokens(g, g.multiply(g.add(objective, penalty), counted), counted, config),
    metrics: new Map([
      ["clip_low", maskedMean(g, isLow, mask)],
      ["clip_high", maskedMean(g, isHigh, mask)],
      ["ratio_mean", maskedMean(g, ratio, mask)],
      ["kl_k3", maskedMean(g, k3, mask)],
    ]),
  };
}

/** k3 = e^(ref − lp) − (ref − lp) − 1 within the mask, 0 outside (Schulman 2020, "Approximating KL divergence"). */
function klEstimate(g: GraphBuilder, logps: Value, referenceLogps: Value, mask: Value): Value {
  const gap = g.multiply(g.subtract(referenceLogps, logps), mask);
  return g.offset(g.subtract(g.exponential(gap), gap), -1);
}

function reduceTokens(g: GraphBuilder, terms: Value, counted: Value, { reduction, maxNewTokens }: GrpoConfig): Value {
  switch (reduction) {
    case "grpo": {
      const tokens = rowSums(g, counted);
      return meanAll(g, g.divide(rowSums(g, terms), g.maximum(tokens, g.splat(1, tokens.type))));
    }
    case "dapo":
    case "bnpo":
      return g.divide(sumAll(g, terms), g.maximum(sumAll(g, counted), g.scalar(1)));
    case "dr_grpo":
      return g.scale(sumAll(g, terms), 1 / ((terms.type.dims[0] ?? 1) * maxNewTokens));
    default:
      return reduction satisfies never;
  }
}

export interface PpoConfig {
  readonly clip: ClipRange;
  /** Limit of the change of a value in a rollout. */
  readonly clipValue: number;
  /** Weight of the value loss. */
  readonly valueWeight: number;
}

/**
 * PPO (Schulman et al. 2017): mean over tokens of max(−Aρ, −A clip(ρ)), plus `valueWeight` times ½ mean max((V − R)², (V_clip − R)²).
 *
 * @param advantages f32[B, T], constants
 * @param returns f32[B, T], constants
 */
export function ppoLoss(
  g: GraphBuilder,
  { logps, oldLogps, mask }: PolicyLogps,
  critic: { readonly advantages: Value; readonly returns: Value; readonly values: Value; readonly oldValues: Value },
  config: PpoConfig,
): PolicyLoss {
  const [advantages, returns] = [g.stopGradient(critic.advantages), g.stopGradient(critic.returns)];
  const ratio = g.exponential(g.multiply(g.subtract(logps, oldLogps), mask));
  const { objective, isLow, isHigh } = clippedObjective(g, ratio, advantages, config.clip);
  const change = g.subtract(critic.values, critic.oldValues);
  const clipped = g.add(critic.oldValues, clamp(g, change, -config.clipValue, config.clipValue));
  const [free, limited] = [g.square(g.subtract(critic.values, returns)), g.square(g.subtract(clipped, returns))];
  const policyLoss = maskedMean(g, objective, mask);
  // Within the limit, the two losses differ by rounding only, so their comparison alone would count rounding errors.
  const isBeyond = g.compare(g.abs(change), g.splat(config.clipValue, change.type), "GT");
  const isClipped = indicator(g, g.and(isBeyond, g.compare(limited, free, "GT")));
  const valueLoss = g.scale(maskedMean(g, g.maximum(free, limited), mask), 0.5);
  return {
    loss: g.add(policyLoss, g.scale(valueLoss, config.valueWeight)),
    metrics: new Map([
      ["policy_loss", policyLoss],
      ["value_loss", valueLoss],
      ["clip_fraction", maskedMean(g, g.add(isLow, isHigh), mask)],
      ["value_clip_fraction", maskedMean(g, isClipped, mask)],
      ["ratio_mean", maskedMean(g, ratio, mask)],
    ]),
  };
}
