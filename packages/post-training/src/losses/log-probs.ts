import type { GraphBuilder, Value } from "@lapidary/ir";
import { tokenLosses } from "@lapidary/models";

// B rows · T positions · V vocabulary. A position predicts the token after it: its target.

/**
 * log softmax(logits / temperature)[target] for every position.
 *
 * @param logits f32[B, T, V]
 * @param targets i32[B, T]
 * @returns f32[B, T], nats
 */
export const tokenLogProbs = (g: GraphBuilder, logits: Value, targets: Value, temperature: number): Value =>
  g.named("token_logps", g.negate(tokenLosses(g, temperature === 1 ? logits : g.scale(logits, 1 / temperature), targets)));

/** log softmax(logits / temperature) over the last dim: f32[B, T, V]. */
function logSoftmax(g: GraphBuilder, logits: Value, temperature: number): Value {
  const dims = logits.type.dims;
  const scaled = temperature === 1 ? logits : g.scale(logits, 1 / temperature);
  const shifted = g.subtract(scaled, g.broadcastInDim(g.stopGradient(g.reduce(scaled, [2], "max")), dims, [0, 1]));
  return g.subtract(shifted, g.broadcastInDim(g.log(g.reduce(g.exponential(shifted), [2], "sum")), dims, [0, 1]));
}

/** −Σ p log p of softmax(logits / temperature): f32[B, T], nats. */
export function entropy(g: GraphBuilder, logits: Value, temperature: number): Value {
  const logProbs = logSoftmax(g, logits, temperature);
  return g.named("entropy", g.negate(g.reduce(g.multiply(g.exponential(logProbs), logProbs), [2], "sum")));
}

/** Σ p (log p − log q) over the whole vocabulary, p and q the softmax of either logits / temperature: f32[B, T], nats. */
export function fullKl(g: GraphBuilder, logits: Value, reference: Value, temperature: number): Value {
  const [p, q] = [logSoftmax(g, logits, temperature), logSoftmax(g, reference, temperature)];
  return g.named("kl", g.reduce(g.multiply(g.exponential(p), g.subtract(p, q)), [2], "sum"));
}
