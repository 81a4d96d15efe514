import { assert } from "@lapidary/std";
import { badEvaluationSetting, emptyEvaluation } from "./evaluation-errors.js";

/**
 * The best policy of a task whose reward is 1 for a right answer and 0 for any other, with a KL term to the reference policy:
 *
 *     π* = argmax_π E_π[r] − β KL(π ‖ π_ref),   π* ∝ π_ref e^(r/β)
 *
 * If the reference answers rightly with probability p, then π* does with probability p e^(1/β) / (p e^(1/β) + 1 − p). The distribution
 * among the right answers, and among the wrong ones, is that of the reference. A correct trainer converges to these numbers.
 */
export interface KlOptimum {
  /** Probability of a right answer under π*. */
  readonly accuracy: number;
  /** KL(π* ‖ π_ref) in nats per answer. */
  readonly kl: number;
}

/**
 * @param p probability of a right answer under the reference, from 0 to 1
 * @param beta weight of the KL term, above 0. The limit 0 is allowed: the accuracy is then 1, unless p is 0.
 * @throws LapidaryError LAP_EVALUATION_SETTING if beta is negative or not a number
 */
export function klOptimum(p: number, beta: number): KlOptimum {
  assert(p >= 0 && p <= 1, "a probability is from 0 to 1", p);
  if (!(beta >= 0)) throw badEvaluationSetting("beta", beta, "a number from 0");
  if (p === 0 || p === 1) return { accuracy: p, kl: 0 };
  // With u = e^(−1/β) and q = p + (1 − p) u, the accuracy is p / q and the normaliser p e^(1/β) + 1 − p is q e^(1/β). No term overflows.
  const u = Math.exp(-1 / beta);
  const logQ = Math.log1p((1 - p) * Math.expm1(-1 / beta));
  const accuracy = p / (p + (1 - p) * u);
  const wrong = ((1 - p) * u) / (p + (1 - p) * u);
  // KL = a ln(a/p) + (1 − a) ln((1 − a)/(1 − p)), where a/p = 1/q and (1 − a)/(1 − p) = u/q. If u is 0, so is the second term.
  return { accuracy, kl: Math.max(0, -logQ - (wrong === 0 ? 0 : wrong / beta)) };
}

/**
 * Means over prompts: the optimum of each prompt depends on its own p, and the formula of the mean p is another number.
 *
 * @param probabilities of a right answer under the reference, one a prompt
 * @throws LapidaryError LAP_EVALUATION_EMPTY without prompts
 */
export function meanKlOptimum(probabilities: ArrayLike<number>, beta: number): KlOptimum {
  const n = probabilities.length;
  if (n === 0) throw emptyEvaluation("prompts");
  const optima = Array.from(probabilities, (p) => klOptimum(p, beta));
  return {
    accuracy: optima.reduce((sum, { accuracy }) => sum + accuracy, 0) / n,
    kl: optima.reduce((sum, { kl }) => sum + kl, 0) / n,
  };
}
