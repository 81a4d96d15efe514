export { type Judgement, judgement, judgementFromLogits, type VerdictTokens } from "./compare/judge-verdict.js";
export {
  type AnswerOrder,
  isContradiction,
  type JudgedPrompt,
  outcomeOf,
  type PromptVerdicts,
  shuffledOrder,
  type SideBySide,
  sideBySide,
  sideBySideBySubset,
  type Verdict,
} from "./compare/side-by-side.js";
export { logSignTest, signTest } from "./compare/sign-test.js";
export {
  type BySubset,
  countOutcomes,
  type Outcome,
  type OutcomeCounts,
  outcomeOfScores,
  type WinRate,
  winRate,
  winRateBySubset,
} from "./compare/win-rate.js";
export { NegativeKl, negativeKlSteps } from "./guards/negative-kl.js";
export { type CheckedReward, type RewardHacking, rewardHacking } from "./guards/reward-hacking.js";
export { isForeignScore } from "./guards/score-range.js";
export { type KlOptimum, klOptimum, meanKlOptimum } from "./kl-optimum.js";
export { type DistributionMetrics, distributionMetrics } from "./metrics/distribution.js";
export {
  type CompletionLogProbs,
  type DpoMetrics,
  dpoMetrics,
  type HeldOutPairs,
  type PairMetrics,
  pairMetrics,
  type RewardModelMetrics,
  rewardModelMetrics,
} from "./metrics/preference.js";
export {
  type ClipFractions,
  clipFractions,
  type ClipRange,
  type CompletionMetrics,
  completionMetrics,
  type KlEstimates,
  klEstimates,
  logProbGap,
  type RatioMetrics,
  ratioMetrics,
  repeatForTokens,
  type RewardMetrics,
  rewardMetrics,
  type Rollout,
  type RolloutMetrics,
  rolloutMetrics,
  rowRatios,
  tokenRatios,
  type ValueArrays,
  type ValueMetrics,
  valueMetrics,
} from "./metrics/rollout.js";
export { exposure, otherValues, type Secret, secretIn } from "./metrics/exposure.js";
export { gemmaRecitation, type Recitation, recitation, type RecitationSettings } from "./metrics/recitation.js";
export { maskedMean, type MeanAndMax, type MeanAndStd, meanAndStd } from "./metrics/statistics.js";
export { type BradleyTerryOptions, bradleyTerry, type Game } from "./ratings/bradley-terry.js";
export { type EloOptions, elo } from "./ratings/elo.js";
export { meanPassAtK, passAtK, type ProblemSamples } from "./ratings/pass-at-k.js";
export { type Checker, openChecker } from "./checkers/checker.js";
export type { CheckedRow } from "./checkers/row.js";
export { type CheckerSettings, parseChecker } from "./checkers/settings.js";
