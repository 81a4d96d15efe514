import { dpoMetrics, meanAndStd, type RewardModelMetrics, rewardModelMetrics } from "@lapidary/evaluation";

/** Numbers of held-out pairs that an evaluation collects, one for each pair. */
export class PairFigures {
  readonly chosen: number[] = [];
  readonly rejected: number[] = [];
  readonly chosenLengths: number[] = [];
  readonly rejectedLengths: number[] = [];
  readonly referenceChosen: number[] = [];
  readonly referenceRejected: number[] = [];
}

/** The metrics of a reward model. Those of pairs by length have a suffix, such as `_shorter_1_16`: the chosen answer is 1 to 16 tokens shorter. */
export function rewardMetrics(figures: PairFigures): Readonly<Record<string, number>> {
  const { accuracy, equalShare, marginMean, marginStd, byLengthDifference, lengthCorrelation } = rewardModelMetrics(figures);
  const bins = byLengthDifference.flatMap((bin): [string, number][] => {
    const suffix = lengthSuffix(bin);
    return [
      [`accuracy_${suffix}`, bin.accuracy],
      [`margin_${suffix}`, bin.marginMean],
    ];
  });
  return {
    accuracy,
    margin: marginMean,
    margin_std: marginStd,
    equal_scores: equalShare,
    ...(lengthCorrelation === undefined ? {} : { length_correlation: lengthCorrelation }),
    ...Object.fromEntries(bins),
    ...scoreMetrics(figures),
  };
}

/** Mean and standard deviation of the scores of all answers. */
function scoreMetrics({ chosen, rejected }: PairFigures): Readonly<Record<string, number>> {
  const { mean, std } = meanAndStd([...chosen, ...rejected]);
  return { score_chosen: meanAndStd(chosen).mean, score_rejected: meanAndStd(rejected).mean, score_mean: mean, score_std: std };
}

/** The differences from minimum to limit − 1, as lengths of the chosen answer: `shorter_1_16`, `equal_length`, `longer_65`. */
function lengthSuffix({ minimum, limit }: RewardModelMetrics["byLengthDifference"][number]): string {
  if (minimum === 0) return "equal_length";
  const [side, from, to] = minimum > 0 ? ["longer", minimum, limit - 1] : ["shorter", 1 - limit, -minimum];
  return Number.isFinite(to) ? `${side}_${from}_${to}` : `${side}_${from}`;
}

/** The metrics of direct preference optimization: the log-probabilities of the answers, and their rewards. */
export function preferenceMetrics(figures: PairFigures, beta: number): Readonly<Record<string, number>> {
  const { accuracy, marginMean, marginStd, rewardChosen, rewardRejected, logProbChosen, logProbRejected } = dpoMetrics(figures, beta);
  return {
    accuracy,
    margin: marginMean,
    margin_std: marginStd,
    reward_chosen: rewardChosen,
    reward_rejected: rewardRejected,
    logp_chosen: logProbChosen,
    logp_rejected: logProbRejected,
  };
}
