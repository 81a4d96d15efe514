import { assert, LapidaryError, ensure, type Random } from "@lapidary/std";
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
  if (sampling.temperature === 0) return likeliest(logits, forbidden);

  const { kept, weights } = candidates(logits, forbidden, sampling);
  let left = random.next() * weights.reduce((sum, weight) => sum + weight, 0);
  const drawn = weights.findIndex((weight) => (left -= weight) < 0);
  return ensure(kept[drawn < 0 ? kept.length - 1 : drawn], "drawn token");
}

function likeliest(logits: Float32Array, forbidden: ReadonlySet<number>): number {
  let best: number | undefined;
  let greatest = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] ?? 0;
    if ((best !== undefined && logit <= greatest) || forbidden.has(id)) continue;
    best = id;
    greatest = logit;
  }
  return ensure(best, "a token that may be drawn");
}

/** The tokens that may be drawn, likeliest first, and weights in the proportion of their probabilities. */
function candidates(
  logits: Float32Array,
  forbidden: ReadonlySet<number>,
  { temperature, top_k: topK, top_p: topP }: Sampling,
): { kept: readonly number[]; weights: readonly number[] } {
  const ranked = rankedIds(logits, forbidden);
  const kept = Array.from(topK === undefined ? ranked : ranked.subarray(0, topK));
  const top = logits[ensure(kept[0], "a token that may be drawn")] ?? 0;
  const weights = nucleus(
    kept.map((id) => Math.exp(((logits[id] ?? 0) - top) / temperature)),
    topP,
  );
  return { kept: kept.slice(0, weights.length), weights };
}

const idLimit = 2 ** 21;

/**
 * The ids that may be drawn by descending logit; of equal logits the smaller id first. An id and the bits of its logit are one integer of 53 bits,
 * because numbers sort much faster without a function that compares them.
 */
function rankedIds(logits: Float32Array, forbidden: ReadonlySet<number>): Float64Array {
  assert(logits.length <= idLimit, "an id has 21 bits", logits.length);
  // Adding 0 makes −0 to 0, which is equal to it.
  const bits = new Uint32Array(logits.map((logit) => logit + 0).buffer);
  const keys = new Float64Array(logits.length);
  let count = 0;
  for (let id = 0; id < logits.length; id++) {
    if (forbidden.has(id)) continue;
    const own = bits[id] ?? 0;
    // Negative numbers have the bit of the sign, and descend with their other bits.
    const descending = own >= 0x80000000 ? own : 0x7fffffff - own;
    keys[count++] = descending * idLimit + id;
  }
  return keys
    .subarray(0, count)
    .sort()
    .map((key) => key % idLimit);
}

/**
 * Log-probabilities of the distribution that `sampleToken` draws from, −∞ for the tokens that it never draws.
 *
 * @param logits [V], nats
 * @param sampling temperature above 0
 */
export function sampledLogProbs(logits: Float32Array, sampling: Sampling): Float64Array {
  const { kept, weights } = candidates(logits, new Set(), sampling);
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
