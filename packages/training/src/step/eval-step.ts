import { type Graph, GraphBuilder, tensorType } from "@lapidary/ir";
import type { Model } from "@lapidary/models";
import { type BatchShape, batchParameters } from "./batch-inputs.js";
import { accumulateSums } from "./microbatches.js";
import { evalLoss, type LossChunks } from "./token-loss.js";
import { weightParameters } from "./train-state.js";

export interface EvalStepOptions {
  /** The pieces in which the loss is computed. */
  readonly chunks?: LossChunks | undefined;
  /** Parts of the batch that are computed one after the other; 1 by default. */
  readonly microbatches?: number | undefined;
}

/** Losses of a batch as `loss_sum` (nats) and `tokens_counted`: sums of batches with unequal masks can be added, means cannot. */
export function evalStep(model: Model, shape: BatchShape, { chunks, microbatches: count = 1 }: EvalStepOptions = {}): Graph {
  const g = new GraphBuilder("eval_step");
  const weights = weightParameters(g, model);
  // The stages of a pipeline compute the parts themselves.
  const microbatches = model.pipeline === undefined ? undefined : count;
  const total = accumulateSums(g, {
    count: microbatches === undefined ? count : 1,
    batch: batchParameters(g, shape),
    sums: ({ tokens, targets, mask }) => {
      const hidden = model.hidden(g, weights, tokens, { microbatches });
      return evalLoss(g, model, { weights, hidden, targets, mask }, chunks);
    },
  });
  g.output("loss_sum", g.named("loss_sum", total.sum, [], "metric"));
  g.output("tokens_counted", g.named("tokens_counted", total.count, [], "metric"));
  return g.finish();
}

/**
 * Logits [batch, vocab] of the token after `position` i32[batch] in every row of `tokens` i32[batch, seq]. A matmul with a one-hot row
 * selects the hidden state, because any sharding of batch and seq supports it. Tokens after the position have no influence.
 */
export function nextTokenLogits(model: Model, { batch, seq }: BatchShape): Graph {
  const g = new GraphBuilder("next_token");
  const weights = weightParameters(g, model);
  const tokens = g.parameter("tokens", tensorType("i32", [batch, seq]), ["batch", "seq"], "batch");
  const position = g.parameter("position", tensorType("i32", [batch]), ["batch"], "batch");
  const hidden = model.hidden(g, weights, tokens);
  const at = g.compare(g.iota(tokens.type, 1), g.broadcastInDim(position, tokens.type.dims, [0]), "EQ");
  const picked = g.named("picked", g.dotGeneral(g.convert(at, "f32"), hidden, [[0, 0]], [[1, 1]]));
  g.output("logits", model.unembed(g, weights, picked));
  return g.finish();
}
