interface TokenLogprobs {
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/**
 * Log probabilities of the model's own distribution: temperature, top-k and top-p do not change them.
 *
 * @param logits [V], nats
 * @param top number of likeliest tokens to return, the likeliest first; of equal logits the smaller id first
 */
export function tokenLogprobs(logits: Float32Array, id: number, top: number): TokenLogprobs {
  let greatest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) greatest = Math.max(greatest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - greatest);
  const total = greatest + Math.log(sum);
  const logprob = (of: number): number => (logits[of] ?? Number.NEGATIVE_INFINITY) - total;
  return { logprob: logprob(id), top: likeliest(logits, top).map((each) => ({ id: each, logprob: logprob(each) })) };
}

function likeliest(logits: Float32Array, count: number): readonly number[] {
  const found: number[] = [];
  if (count === 0) return found;
  const logit = (id: number | undefined): number => (id === undefined ? Number.NEGATIVE_INFINITY : (logits[id] ?? 0));
  logits.forEach((value, id) => {
    if (found.length === count && value <= logit(found.at(-1))) return;
    let at = found.length;
    while (at > 0 && value > logit(found[at - 1])) at--;
    found.splice(at, 0, id);
    if (found.length > count) found.pop();
  });
  return found;
}
