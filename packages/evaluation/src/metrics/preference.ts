import { emptyEvaluation } from "../evaluation-errors.js";
import { correlation, meanAndStd, type Numbers, requireLength, valueAt } from "./statistics.js";

/** Metrics of models that learn from pairs of a chosen and a rejected answer, on held-out pairs. */

export interface PairMetrics {
  readonly pairs: number;
  /** Share of pairs whose chosen answer scores higher. Equal scores are wrong, so that a model with one score for all gets 0. */
  readonly accuracy: number;
  /** Share of pairs with equal scores. */
  readonly equalShare: number;
  /** Mean and standard deviation (n − 1) of score of the chosen − score of the rejected. */
  readonly marginMean: number;
  readonly marginStd: number;
}

/**
 * @param chosen, rejected scores [B]
 * @throws LapidaryError LAP_EVALUATION_EMPTY without pairs
 */
export function pairMetrics(chosen: Numbers, rejected: Numbers): PairMetrics {
  requireLength("rejected", rejected, chosen.length);
  const pairs = chosen.length;
  if (pairs === 0) throw emptyEvaluation("pairs");
  const margins = marginsOf(chosen, rejected);
  const { mean, std } = meanAndStd(margins);
  return {
    pairs,
    accuracy: margins.filter((margin) => margin > 0).length / pairs,
    equalShare: margins.filter((margin) => margin === 0).length / pairs,
    marginMean: mean,
    marginStd: std,
  };
}

const marginsOf = (chosen: Numbers, rejected: Numbers): Float64Array =>
  Float64Array.from({ length: chosen.length }, (_, i) => valueAt(chosen, i) - valueAt(rejected, i));

export interface HeldOutPairs {
  /** Scores [B]. */
  readonly chosen: Numbers;
  readonly rejected: Numbers;
  /** Lengths [B] in tokens. */
  readonly chosenLengths: Numbers;
  readonly rejectedLengths: Numbers;
}

/** The pairs with minimum ≤ length of the chosen − length of the rejected < limit. */
interface LengthBin extends PairMetrics {
  readonly minimum: number;
  readonly limit: number;
}

export interface RewardModelMetrics extends PairMetrics {
  /** The bins that have pairs, from the shortest chosen answers to the longest. */
  readonly byLengthDifference: readonly LengthBin[];
  /** Correlation of score margin and length difference: near 1 if the model scores length. Undefined without spread. */
  readonly lengthCorrelation: number | undefined;
}

/** Limits of the length bins. Pairs of equal length have a bin of their own; the others are symmetric: 1 to 16, 17 to 64, from 65. */
const defaultEdges: readonly number[] = [-64, -16, 0, 1, 17, 65];

/**
 * Accuracy and margin of a reward model, also by length difference: a model that only prefers length is right where the chosen answer is
 * longer and wrong where it is shorter.
 *
 * @param edges ascending limits between the bins
 * @throws LapidaryError LAP_EVALUATION_EMPTY without pairs
 */
export function rewardModelMetrics(held: HeldOutPairs, edges: readonly number[] = defaultEdges): RewardModelMetrics {
  const { chosen, rejected, chosenLengths, rejectedLengths } = held;
  for (const [name, array] of Object.entries({ rejected, chosenLengths, rejectedLengths })) requireLength(name, array, chosen.length);
  const differences = marginsOf(chosenLengths, rejectedLengths);
  const bounds = [Number.NEGATIVE_INFINITY, ...edges, Number.POSITIVE_INFINITY];
  const byLengthDifference = bounds.slice(1).flatMap((limit, b) => {
    const minimum = bounds[b] ?? Number.NEGATIVE_INFINITY;
    const inside = [...differences.keys()].filter((i) => valueAt(differences, i) >= minimum && valueAt(differences, i) < limit);
    const pick = (values: Numbers): number[] => inside.map((i) => valueAt(values, i));
    return inside.length === 0 ? [] : [{ minimum, limit, ...pairMetrics(pick(chosen), pick(rejected)) }];
  });
  return {
    ...pairMetrics(chosen, rejected),
    byLengthDifference,
    lengthCorrelation: correlation(marginsOf(chosen, rejected), differences),
  };
}

/** Log-probabilities [B] of whole completions under the policy and the reference. */
export interface CompletionLogProbs {
  readonly chosen: Numbers;
  readonly rejected: Numbers;
  readonly referenceChosen: Numbers;
  readonly referenceRejected: Numbers;
}

/** The implicit rewards of DPO are β (ln π − ln π_ref). `accuracy` and margins are of these rewards. */
export interface DpoMetrics extends PairMetrics {
  readonly rewardChosen: number;
  readonly rewardRejected: number;
  readonly logProbChosen: number;
  readonly logProbRejected: number;
}

/** @throws LapidaryError LAP_EVALUATION_EMPTY without pairs */
export function dpoMetrics({ chosen, rejected, referenceChosen, referenceRejected }: CompletionLogProbs, beta: number): DpoMetrics {
  requireLength("referenceChosen", referenceChosen, chosen.length);
  requireLength("referenceRejected", referenceRejected, rejected.length);
  const rewardsChosen = marginsOf(chosen, referenceChosen).map((each) => beta * each);
  const rewardsRejected = marginsOf(rejected, referenceRejected).map((each) => beta * each);
  return {
    ...pairMetrics(rewardsChosen, rewardsRejected),
    rewardChosen: meanAndStd(rewardsChosen).mean,
    rewardRejected: meanAndStd(rewardsRejected).mean,
    logProbChosen: meanAndStd(chosen).mean,
    logProbRejected: meanAndStd(rejected).mean,
  };
}
