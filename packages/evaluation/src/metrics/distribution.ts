import { assert } from "@lapidary/std";
import { badEvaluationSetting } from "../evaluation-errors.js";
import { type Numbers, requireLength, valueAt } from "./statistics.js";

export interface DistributionMetrics {
  /** −Σ_v p ln p of each position, [N] in nats. */
  readonly entropy: Float64Array;
  /** Σ_v p ln(p / p_ref) of each position, [N] in nats. Infinite if the reference excludes a token that the policy allows. */
  readonly kl: Float64Array;
}

/**
 * Entropy of the policy and KL to the reference, from the logits of both.
 *
 * @param policy, reference logits [N, V]
 * @param temperature divides the logits of both, as in sampling
 */
export function distributionMetrics(policy: Numbers, reference: Numbers, vocabSize: number, temperature = 1): DistributionMetrics {
  requireLength("reference", reference, policy.length);
  assert(vocabSize >= 1 && policy.length % vocabSize === 0, "logits have whole rows", policy.length, vocabSize);
  if (!(temperature > 0 && Number.isFinite(temperature))) throw badEvaluationSetting("temperature", temperature, "a number above 0");
  const positions = policy.length / vocabSize;
  const entropy = new Float64Array(positions);
  const kl = new Float64Array(positions);
  for (let n = 0; n < positions; n++) {
    const start = n * vocabSize;
    const [normP, normQ] = [logSumExp(policy, start, vocabSize, temperature), logSumExp(reference, start, vocabSize, temperature)];
    let [h, divergence] = [0, 0];
    for (let i = start; i < start + vocabSize; i++) {
      const logP = valueAt(policy, i) / temperature - normP;
      // A token of probability 0 adds 0 · ln 0 = 0.
      if (logP === Number.NEGATIVE_INFINITY) continue;
      h -= Math.exp(logP) * logP;
      divergence += Math.exp(logP) * (logP - (valueAt(reference, i) / temperature - normQ));
    }
    entropy[n] = h;
    // The terms have both signs, so that rounding can leave a sum just below 0. No KL is negative.
    kl[n] = Math.max(0, divergence);
  }
  return { entropy, kl };
}

/** ln Σ e^(logits / temperature) over `size` logits from `start`. */
function logSumExp(logits: Numbers, start: number, size: number, temperature: number): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = start; i < start + size; i++) largest = Math.max(largest, valueAt(logits, i) / temperature);
  let sum = 0;
  for (let i = start; i < start + size; i++) sum += Math.exp(valueAt(logits, i) / temperature - largest);
  return largest + Math.log(sum);
}
