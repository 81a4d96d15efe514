import { LapidaryError, ensure, type Random } from "@lapidary/std";
import type { z } from "zod";
import type { samplingSchema } from "../job/job-schema.js";

/** How a token is drawn: keys are those of `sample` in a job file. */
export type Sampling = Readonly<z.infer<typeof samplingSchema>>;

/** Always draws the likeliest token. */
export const greedy: Sampling = { temperature: 0, top_p: 1 };

/**
 * Draws a token from its logits. Divides the logits by the temperature, keeps the `top_k` likeliest tokens, and of these the
 * smallest set whose probability reaches `top_p` (Holtzman et al. 2020), at least one token.
 *
 * @param logits [V], nats
 * @param forbiddenTokens ids that are not drawn
 * @throws LapidaryError for NaN logits: the model has diverged
 */
export function sampleToken(logits: Float32Array, sampling: Sampling, random: Random, forbiddenTokens: readonly number[] = []): number {
  const bad = logits.findIndex((x) => Number.isNaN(x));
  if (bad >= 0)
    throw new LapidaryError({
      code: "LAP_SAMPLE_NAN",
      message: `the logit of token ${bad} is NaN: the model has diverged`,
      location: "sample",
    });
  const forbidden = new Set(forbiddenTokens);
  const ids = Array.from(logits.keys()).filter((id) => !forbidden.has(id));
  const logit = (id: number): number => logits[id] ?? 0;
  if (sampling.temperature === 0)
    return ids.reduce((best, id) => (logit(id) > logit(best) ? id : best), ensure(ids[0], "a token that may be drawn"));

  const { kept, weights } = candidates(ids, logit, sampling);
  let left = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
  const drawn = weights.findIndex((weight) => (left -= weight) < 0);
  return ensure(kept[drawn < 0 ? kept.length - 1 : drawn], "drawn token");
}

/** The tokens that may be drawn, likeliest first, and weights in the proportion of their probabilities. */
function candidates(
  ids: readonly number[],
  logit: (id: number) => number,
  { temperature, top_k: topK, top_p: topP }: Sampling,
): { kept: readonly number[]; weights: readonly number[] } {
  const ranked = [...ids].sort((a, b) => logit(b) - logit(a) || a - b).slice(0, topK ?? ids.length);
  const top = logit(ensure(ranked[0], "a token that may be drawn"));
  const weights = nucleus(
    ranked.map((id) => Math.exp((logit(id) - top) / temperature)),
    topP,
  );
  return { kept: ranked.slice(0, weights.length), weights };
}

/**
 * Log-probabilities of the distribution that `sampleToken` draws from, −∞ for the tokens that it never draws.
 *
 * @param logits [V], nats
 * @param sampling temperature above 0
 */
export function sampledLogProbs(logits: Float32Array, sampling: Sampling): Float64Array {
  const ids = Array.from(logits.keys());
  const { kept, weights } = candidates(ids, (id) => logits[id] ?? 0, sampling);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const result = new Float64Array(logits.length).fill(Number.NEGATIVE_INFINITY);
  kept.forEach((id, i) => {
    result[id] = Math.log(ensure(weights[i], "weight") / total);
  });
  return result;
}

/** The shortest prefix of descending weights whose sum is at least `share` of the total. */
function nucleus(weights: readonly number[], share: number): readonly number[] {
  const target = share * weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  const last = weights.findIndex((weight) => (sum += weight) >= target);
  return last < 0 ? weights : weights.slice(0, last + 1);
}
