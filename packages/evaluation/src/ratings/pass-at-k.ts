import { assert } from "@lapidary/std";
import { badEvaluationSetting, emptyEvaluation } from "../evaluation-errors.js";

/** The samples of one problem. */
export interface ProblemSamples {
  /** Number of samples. */
  readonly n: number;
  /** Number of correct samples. */
  readonly c: number;
}

/**
 * Unbiased estimate of the probability that at least one of k samples is correct, from n ≥ k samples:
 *
 *     pass@k = 1 − C(n − c, k) / C(n, k) = 1 − Π_{i < k} (n − c − i) / (n − i)
 *
 * Chen et al., "Evaluating large language models trained on code" (2021). The estimate 1 − (1 − c / n)^k is biased downwards.
 *
 * @throws LapidaryError LAP_EVALUATION_SETTING if k is not an integer from 1 to n
 */
export function passAtK({ n, c }: ProblemSamples, k: number): number {
  assert(Number.isSafeInteger(n) && Number.isSafeInteger(c) && c >= 0 && c <= n, "c of n samples are correct", c, n);
  if (!Number.isSafeInteger(k) || k < 1 || k > n) throw badEvaluationSetting("k", k, `an integer from 1 to the number of samples, ${n}`);
  if (n - c < k) return 1;
  let allWrong = 1;
  for (let i = 0; i < k; i++) allWrong *= (n - c - i) / (n - i);
  return 1 - allWrong;
}

/**
 * Mean of pass@k over problems.
 *
 * @throws LapidaryError LAP_EVALUATION_EMPTY without problems, LAP_EVALUATION_SETTING if a problem has fewer than k samples
 */
export function meanPassAtK(problems: readonly ProblemSamples[], k: number): number {
  if (problems.length === 0) throw emptyEvaluation("problems");
  return problems.reduce((sum, problem) => sum + passAtK(problem, k), 0) / problems.length;
}
