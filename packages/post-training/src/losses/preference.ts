import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { indicator, logSigmoid, meanAll } from "./arithmetic.js";

/** The numbers of 2B rows, chosen rows before rejected rows, as chosen − rejected and chosen + rejected [B] of each pair. */
function pairs(g: GraphBuilder, rows: Value): { difference: Value; sum: Value } {
  const dims = [2, (rows.type.dims[0] ?? 0) / 2];
  const stacked = g.reshape(rows, dims);
  const isChosen = g.compare(g.iota(tensorType("i32", dims), 0), g.splat(0, tensorType("i32", dims)), "EQ");
  const type = tensorType("f32", dims);
  const sign = g.select(isChosen, g.splat(1, type), g.splat(-1, type));
  return { difference: g.reduce(g.multiply(stacked, sign), [0], "sum"), sum: g.reduce(stacked, [0], "sum") };
}

/** Means over the chosen rows and over the rejected rows, of the numbers of 2B rows. */
export function meansOfSides(g: GraphBuilder, rows: Value): { chosen: Value; rejected: Value } {
  const { difference, sum } = pairs(g, rows);
  return { chosen: g.scale(meanAll(g, g.add(sum, difference)), 0.5), rejected: g.scale(meanAll(g, g.subtract(sum, difference)), 0.5) };
}

export interface RewardLossConfig {
  /** Weight of the mean of (chosen + rejected)², which keeps scores near zero. 0 by default. */
  readonly center?: number | undefined;
}

/**
 * The Bradley–Terry loss of a reward model: −mean log σ(chosen − rejected − margin) + center · mean (chosen + rejected)².
 *
 * @param scores f32[2B], chosen rows before rejected rows
 * @param margin f32[B]
 */
export function rewardLoss(
  g: GraphBuilder,
  scores: Value,
  margin: Value,
  { center = 0 }: RewardLossConfig = {},
): { loss: Value; accuracy: Value; margin: Value } {
  const { difference, sum } = pairs(g, scores);
  const ranking = g.negate(meanAll(g, logSigmoid(g, g.subtract(difference, margin))));
  return {
    loss: center === 0 ? ranking : g.add(ranking, g.scale(meanAll(g, g.square(sum)), center)),
    accuracy: meanAll(g, indicator(g, g.compare(difference, g.splat(0, difference.type), "GT"))),
    margin: meanAll(g, difference),
  };
}

export interface DpoConfig {
  readonly beta: number;
  /** `sigmoid` is the loss of Rafailov et al. 2023; `ipo` that of Azar et al. 2023. */
  readonly loss: "sigmoid" | "ipo";
  /** Share of labels that are assumed to be flipped. */
  readonly smoothing: number;
}

/**
 * Direct preference optimization. Log-probabilities are sums over the completion; IPO uses means over its tokens.
 *
 *     sigmoid   −mean [(1 − ε) log σ(βδ) + ε log σ(−βδ)],  δ = (lp − ref) of chosen − (lp − ref) of rejected
 *     ipo       mean (δ − 1/2β)²
 *
 * @param logps f32[2B] of the policy, chosen rows before rejected rows
 * @param reference f32[2B] of the frozen reference
 * @param tokens f32[2B]: tokens of each completion
 */
export function dpoLoss(
  g: GraphBuilder,
  { logps, reference, tokens }: { readonly logps: Value; readonly reference: Value; readonly tokens: Value },
  { beta, loss, smoothing }: DpoConfig,
): { loss: Value; rewards: Value; accuracy: Value; margin: Value } {
  const ratio = g.subtract(logps, reference);
  const { difference } = pairs(g, ratio);
  return {
    loss: loss === "ipo" ? ipoLoss(g, g.divide(ratio, tokens), beta) : sigmoidLoss(g, g.scale(difference, beta), smoothing),
    rewards: g.scale(ratio, beta),
    accuracy: meanAll(g, indicator(g, g.compare(difference, g.splat(0, difference.type), "GT"))),
    margin: g.scale(meanAll(g, difference), beta),
  };
}

const ipoLoss = (g: GraphBuilder, perToken: Value, beta: number): Value =>
  meanAll(g, g.square(g.offset(pairs(g, perToken).difference, -1 / (2 * beta))));

function sigmoidLoss(g: GraphBuilder, scaled: Value, smoothing: number): Value {
  const agree = g.negate(logSigmoid(g, scaled));
  if (smoothing === 0) return meanAll(g, agree);
  const disagree = g.negate(logSigmoid(g, g.negate(scaled)));
  return meanAll(g, g.add(g.scale(agree, 1 - smoothing), g.scale(disagree, smoothing)));
}
