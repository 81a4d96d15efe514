import { assert } from "@lapidary/std";
import {
  forEachMasked,
  maskedMean,
  maskedSummary,
  type MeanAndMax,
  type MeanAndStd,
  meanAndStd,
  type Numbers,
  requireLength,
  valueAt,
} from "./statistics.js";

/**
 * Metrics of a rollout. B rows (completions) of C tokens; every G consecutive rows are a group, the completions of one prompt.
 *
 *     [B, C] row-major, padded right      mask 1: a token of the completion, its stop token included
 *     [B]    one number a completion
 *
 * Log-probabilities are natural, of logits / temperature.
 */

/** Mean and standard deviation of the rewards of one source, and the share of groups that give no training signal. */
export interface RewardMetrics extends MeanAndStd {
  /** Share of groups in which all rewards are equal: their advantages are 0. */
  readonly flatGroupShare: number;
}

/** @param rewards [B] of one source */
export function rewardMetrics(rewards: Numbers, groupSize: number): RewardMetrics {
  assert(groupSize >= 1 && rewards.length > 0 && rewards.length % groupSize === 0, "rows form whole groups", rewards.length, groupSize);
  let flat = 0;
  for (let start = 0; start < rewards.length; start += groupSize) {
    const group = Array.from({ length: groupSize }, (_, i) => valueAt(rewards, start + i));
    if (group.every((reward) => reward === group[0])) flat++;
  }
  return { ...meanAndStd(rewards), flatGroupShare: flat / (rewards.length / groupSize) };
}

/** Estimates of KL(policy ‖ reference) in nats per token, from sampled tokens. */
export interface KlEstimates {
  /** Mean of ln π − ln π_ref: unbiased, negative for some samples. */
  readonly k1: number;
  /** Mean of e^(ln π_ref − ln π) − (ln π_ref − ln π) − 1: unbiased, never negative. */
  readonly k3: number;
}

/** @param policy, reference log-probabilities [B, C] of the sampled tokens */
export function klEstimates(policy: Numbers, reference: Numbers, mask: Numbers): KlEstimates {
  requireLength("policy", policy, mask.length);
  requireLength("reference", reference, mask.length);
  return {
    k1: maskedSummary(mask, (i) => valueAt(policy, i) - valueAt(reference, i)).mean,
    k3: maskedSummary(mask, (i) => k3Of(valueAt(reference, i) - valueAt(policy, i))).mean,
  };
}

/** e^d − d − 1, without cancellation of e^d and 1. The bound 0 is for the rounding of tiny d. */
const k3Of = (d: number): number => Math.max(0, Math.expm1(d) - d);

export interface RatioMetrics extends MeanAndMax {
  /** Mean of (ρ − 1) − ln ρ: the estimate k3 of KL(old ‖ current). */
  readonly approximateKl: number;
}

/** Importance ratios ρ = e^(current − old) of tokens. @param current, old log-probabilities [B, C] */
export function ratioMetrics(current: Numbers, old: Numbers, mask: Numbers): RatioMetrics {
  const ratios = tokenRatios(current, old, mask);
  return {
    ...maskedSummary(mask, (i) => valueAt(ratios, i)),
    approximateKl: maskedSummary(mask, (i) => k3Of(valueAt(current, i) - valueAt(old, i))).mean,
  };
}

/** @returns ρ [B, C] of each token; 1 under a mask of 0 */
export function tokenRatios(current: Numbers, old: Numbers, mask: Numbers): Float64Array {
  requireLength("current", current, mask.length);
  requireLength("old", old, mask.length);
  const ratios = new Float64Array(mask.length).fill(1);
  forEachMasked(mask, (i) => {
    ratios[i] = Math.exp(valueAt(current, i) - valueAt(old, i));
  });
  return ratios;
}

/** @returns ρ [B] of whole rows: e^(sum of current − old over the tokens of the row), as in RLOO */
export function rowRatios(current: Numbers, old: Numbers, mask: Numbers, rows: number): Float64Array {
  requireLength("current", current, mask.length);
  requireLength("old", old, mask.length);
  const width = widthOf(mask, rows);
  const sums = new Float64Array(rows);
  forEachMasked(mask, (i) => {
    const row = Math.floor(i / width);
    sums[row] = valueAt(sums, row) + (valueAt(current, i) - valueAt(old, i));
  });
  return sums.map(Math.exp);
}

function widthOf(mask: Numbers, rows: number): number {
  assert(rows >= 1 && mask.length % rows === 0, "the mask has whole rows", mask.length, rows);
  return mask.length / rows;
}

/** Repeats one number a row for each of its `width` tokens: [B] to [B, C]. */
export function repeatForTokens(rowValues: Numbers, width: number): Float64Array {
  return Float64Array.from({ length: rowValues.length * width }, (_, i) => valueAt(rowValues, Math.floor(i / width)));
}

export interface ClipRange {
  /** ρ is clipped below 1 − low. */
  readonly low: number;
  /** ρ is clipped above 1 + high. */
  readonly high: number;
}

/** Shares of the elements whose gradient the clipping removes. */
export interface ClipFractions {
  /** ρ < 1 − low and A < 0. */
  readonly low: number;
  /** ρ > 1 + high and A > 0. */
  readonly high: number;
  readonly total: number;
}

/**
 * Clipping acts only where it lowers min(ρA, clip(ρ)A): below the range if A < 0, above it if A > 0.
 *
 * @param ratios, advantages, mask of equal length: tokens (`tokenRatios`), or rows (`rowRatios`) with a mask of ones
 */
export function clipFractions(ratios: Numbers, advantages: Numbers, mask: Numbers, range: ClipRange): ClipFractions {
  requireLength("ratios", ratios, mask.length);
  requireLength("advantages", advantages, mask.length);
  const isLow = (i: number): number => Number(valueAt(ratios, i) < 1 - range.low && valueAt(advantages, i) < 0);
  const isHigh = (i: number): number => Number(valueAt(ratios, i) > 1 + range.high && valueAt(advantages, i) > 0);
  return {
    low: maskedSummary(mask, isLow).mean,
    high: maskedSummary(mask, isHigh).mean,
    total: maskedSummary(mask, (i) => isLow(i) + isHigh(i)).mean,
  };
}

export interface ValueMetrics {
  /** Share of the tokens where the clipped error (V_old + clip(V − V_old) − R)² exceeds (V − R)². */
  readonly clipFraction: number;
  /** 1 − Var(R − V) / Var(R). At most 1; 0 if V is constant. Undefined if R has no spread. */
  readonly explainedVariance: number | undefined;
}

export interface ValueArrays {
  /** Values V of the current value model, [B, C]. */
  readonly values: Numbers;
  /** Values at the time of the rollout, [B, C]. */
  readonly oldValues: Numbers;
  /** Returns R, [B, C]. */
  readonly returns: Numbers;
}

export function valueMetrics({ values, oldValues, returns }: ValueArrays, mask: Numbers, clip: number): ValueMetrics {
  for (const [name, array] of Object.entries({ values, oldValues, returns })) requireLength(name, array, mask.length);
  const isClipped = (i: number): number => {
    const [value, old, target] = [valueAt(values, i), valueAt(oldValues, i), valueAt(returns, i)];
    const clipped = old + Math.min(clip, Math.max(-clip, value - old));
    return Number((clipped - target) ** 2 > (value - target) ** 2);
  };
  const targets: number[] = [];
  const errors: number[] = [];
  forEachMasked(mask, (i) => {
    targets.push(valueAt(returns, i));
    errors.push(valueAt(returns, i) - valueAt(values, i));
  });
  const spread = meanAndStd(targets).std ** 2;
  return {
    clipFraction: maskedSummary(mask, isClipped).mean,
    explainedVariance: spread > 0 ? 1 - meanAndStd(errors).std ** 2 / spread : undefined,
  };
}

/** |log-probability of the sampler − of the trainer| over tokens. Both compute the same function, so a large gap is an error of one. */
export function logProbGap(sampler: Numbers, trainer: Numbers, mask: Numbers): MeanAndMax {
  requireLength("sampler", sampler, mask.length);
  requireLength("trainer", trainer, mask.length);
  return maskedSummary(mask, (i) => Math.abs(valueAt(sampler, i) - valueAt(trainer, i)));
}

export interface CompletionMetrics {
  /** Tokens of a completion, its stop token included. */
  readonly lengthMean: number;
  readonly lengthMax: number;
  /** Share of completions that do not end with a stop token. */
  readonly cutOffShare: number;
  /** Share of all completions that end with each stop token, in the order of `stopIds`. */
  readonly stoppedShare: ReadonlyMap<number, number>;
}

/** @param ids, mask [B, C] */
export function completionMetrics(ids: Numbers, mask: Numbers, rows: number, stopIds: readonly number[]): CompletionMetrics {
  requireLength("ids", ids, mask.length);
  const ends = lastTokens(ids, mask, rows);
  const lengths = ends.map(({ length }) => length);
  const share = (belongs: (last: number | undefined) => boolean): number => ends.filter(({ last }) => belongs(last)).length / rows;
  return {
    lengthMean: meanAndStd(lengths).mean,
    lengthMax: Math.max(...lengths),
    cutOffShare: share((last) => last === undefined || !stopIds.includes(last)),
    stoppedShare: new Map(stopIds.map((id) => [id, share((last) => last === id)])),
  };
}

/** The length of each row and its last token, which is undefined in an empty row. */
function lastTokens(ids: Numbers, mask: Numbers, rows: number): { readonly length: number; readonly last: number | undefined }[] {
  const width = widthOf(mask, rows);
  return Array.from({ length: rows }, (_, row) => {
    let [length, last]: [number, number | undefined] = [0, undefined];
    for (let i = row * width; i < (row + 1) * width; i++) {
      if (mask[i] === 0) continue;
      length++;
      last = ids[i];
    }
    return { length, last };
  });
}

/** What one update reads of its rollout. */
export interface Rollout {
  /** Number of completions, B. */
  readonly rows: number;
  readonly groupSize: number;
  readonly ids: Numbers;
  readonly mask: Numbers;
  readonly stopIds: readonly number[];
  /** Rewards [B] by source. */
  readonly rewards: ReadonlyMap<string, Numbers>;
  /** Log-probabilities [B, C] of the sampled tokens. `sampler` is that of `decode`, `old` that of the trainer before the update. */
  readonly logProbs: { readonly current: Numbers; readonly old: Numbers; readonly reference: Numbers; readonly sampler: Numbers };
  /** Entropy and KL to the reference of the whole next-token distribution, [B, C]; see `distributionMetrics`. */
  readonly entropy: Numbers;
  readonly fullKl: Numbers;
  /** [B], or [B, C] if each token has its own. */
  readonly advantages: Numbers;
  readonly clip: ClipRange;
  /** Whether the loss clips the ratio of each token or of the whole row. */
  readonly ratioOf: "token" | "row";
}

export interface RolloutMetrics {
  readonly rewards: ReadonlyMap<string, RewardMetrics>;
  readonly kl: KlEstimates & { readonly full: number };
  readonly entropy: number;
  readonly ratio: RatioMetrics;
  readonly clip: ClipFractions;
  readonly logProbGap: MeanAndMax;
  readonly completions: CompletionMetrics;
}

/** All metrics of one update that need no value model. */
export function rolloutMetrics(rollout: Rollout): RolloutMetrics {
  const { rows, groupSize, ids, mask, logProbs } = rollout;
  return {
    rewards: new Map([...rollout.rewards].map(([source, rewards]) => [source, rewardMetrics(rewards, groupSize)])),
    kl: { ...klEstimates(logProbs.current, logProbs.reference, mask), full: maskedMean(rollout.fullKl, mask) },
    entropy: maskedMean(rollout.entropy, mask),
    ratio: ratioMetrics(logProbs.current, logProbs.old, mask),
    clip: clipFractionsOf(rollout),
    logProbGap: logProbGap(logProbs.sampler, logProbs.old, mask),
    completions: completionMetrics(ids, mask, rows, rollout.stopIds),
  };
}

function clipFractionsOf({ rows, mask, logProbs, advantages, clip, ratioOf }: Rollout): ClipFractions {
  const { current, old } = logProbs;
  if (ratioOf === "row") return clipFractions(rowRatios(current, old, mask, rows), advantages, new Uint8Array(rows).fill(1), clip);
  const perToken = advantages.length === rows ? repeatForTokens(advantages, widthOf(mask, rows)) : advantages;
  return clipFractions(tokenRatios(current, old, mask), perToken, mask, clip);
}
