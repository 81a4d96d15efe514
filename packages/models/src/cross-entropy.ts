import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";

/**
 * −log softmax(logits)[target] for every position.
 *
 * A comparison with iota and a sum select the logit of the target, and the maximum has no gradient. Every step is
 * elementwise or a reduction over V, so logits with a sharded vocabulary are never gathered.
 *
 * @param logits f32[B, T, V]
 * @param targets i32[B, T]
 * @returns f32[B, T], nats
 */
export function tokenLosses(g: GraphBuilder, logits: Value, targets: Value): Value {
  const dims = logits.type.dims;
  const rows = [0, 1];
  const max = g.stopGradient(g.reduce(logits, [2], "max"));
  const shifted = g.subtract(logits, g.broadcastInDim(max, dims, rows));
  const logSum = g.log(g.reduce(g.exponential(shifted), [2], "sum"));
  const isTarget = g.compare(g.iota(tensorType("i32", dims), 2), g.broadcastInDim(targets, dims, rows), "EQ");
  const picked = g.reduce(g.select(isTarget, shifted, g.splat(0, logits.type)), [2], "sum");
  return g.named("token_losses", g.subtract(logSum, picked));
}

/** Sum of the losses of the tokens whose mask is 1, and their number: scalars. */
export function countedLoss(g: GraphBuilder, losses: Value, mask: Value): { sum: Value; count: Value } {
  return { sum: g.reduce(g.multiply(losses, mask), [0, 1], "sum"), count: g.named("tokens_counted", g.reduce(mask, [0, 1], "sum")) };
}

/**
 * Mean loss over the tokens whose mask is 1; 0 if there is none.
 *
 * @param total the divisor, if the rows are a part of a batch: the number of tokens that count in the whole batch
 */
export function meanLoss(g: GraphBuilder, losses: Value, mask: Value, total?: Value): { loss: Value; count: Value } {
  const { sum, count: own } = countedLoss(g, losses, mask);
  const count = total ?? own;
  return { loss: g.named("loss", g.divide(sum, g.maximum(count, g.scalar(1)))), count };
}
