import { type Graph, GraphBuilder } from "@lapidary/ir";
import { type LoraConfig, type Model, countedLoss, logitsOf, meanLoss, tokenLosses } from "@lapidary/models";
import { type UpdateConfig, applyUpdate } from "@lapidary/training";
import { type SequenceShape, sequenceInputs, targetInputs } from "./inputs.js";
import { adaptedModel, setParameters, trainedModel, withAdapters } from "./trained-model.js";

export interface StepOptions {
  /** Trains this adapter; the weights are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Also return the gradients, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
}

/**
 * One step of supervised fine-tuning. The loss is Σ mask·nll / Σ mask over the whole batch, never a mean of means.
 *
 *     states  tokens  targets  mask  (segments)   →   states  loss  grad_norm  learning_rate  tokens_counted
 */
export function sftStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: StepOptions = {}): Graph {
  const g = new GraphBuilder("sft_step");
  const { params, states, weights, adapters } = trainedModel(g, model, update, options);
  const { tokens, options: attention } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const logits = logitsOf(model, g, weights, tokens, withAdapters(attention, adapters));
  const { loss, count } = meanLoss(g, tokenLosses(g, logits, targets), mask);
  const metrics = new Map([["tokens_counted", count]]);
  applyUpdate(g, update, { params, states, loss, metrics, withGradients: options.withGradients === true });
  return g.finish();
}

/**
 * Losses of a batch as sums: sums of batches with unequal masks can be added, means cannot.
 *
 *     params  tokens  targets  mask  (segments)   →   loss_sum (nats)  tokens_counted
 */
export function sftEvalStep(model: Model, shape: SequenceShape, { lora }: Pick<StepOptions, "lora"> = {}): Graph {
  const g = new GraphBuilder("eval_step");
  const adapted = adaptedModel(model, lora);
  const weights = setParameters(g, adapted.params);
  const { tokens, options } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const { sum, count } = countedLoss(g, tokenLosses(g, logitsOf(adapted, g, weights, tokens, options), targets), mask);
  g.output("loss_sum", g.named("loss_sum", sum, [], "metric"));
  g.output("tokens_counted", g.named("tokens_counted", count, [], "metric"));
  return g.finish();
}
