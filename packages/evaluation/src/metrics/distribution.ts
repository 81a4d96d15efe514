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
    const p = logSoftmax(policy, start, vocabSize, temperature);
    const q = logSoftmax(reference, start, vocabSize, temperature);
    let [h, divergence] = [0, 0];
    for (let v = 0; v < vocabSize; v++) {
      const logP = valueAt(p, v);
      // A token of probability 0 adds 0 · ln 0 = 0.
      if (logP === Number.NEGATIVE_INFINITY) continue;
      h -= Math.exp(logP) * logP;
      divergence += Math.exp(logP) * (logP - valueAt(q, v));
    }
    entropy[n] = h;
    kl[n] = divergence;
  }
  return { entropy, kl };
}

/** Natural logarithms of softmax(logits / temperature) of `size` logits from `start`. */
function logSoftmax(logits: Numbers, start: number, size: number, temperature: number): Float64Array {
  const scaled = Float64Array.from({ length: size }, (_, v) => valueAt(logits, start + v) / temperature);
  const largest = scaled.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const logSum = largest + Math.log(scaled.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  return scaled.map((x) => x - logSum);
}
