import { type Graph, GraphBuilder } from "@lapidary/ir";
import type { ExpertLoad, LoraConfig, Model } from "@lapidary/models";
import { type LossChunks, type UpdateConfig, applyUpdate, evalLoss, expertMetrics, paramName, stepLoss } from "@lapidary/training";
import { ensure } from "@lapidary/std";
import { type SequenceShape, sequenceInputs, targetInputs } from "./inputs.js";
import { adaptedModel, setParameters, trainedModel, withAdapters } from "./trained-model.js";

export interface StepOptions {
  /** Trains this adapter; the weights are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Also return the gradients, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
}

export interface LossOptions {
  /** The loss is computed in pieces. Absent: from all logits. */
  readonly chunks?: LossChunks | undefined;
}

/**
 * One step of supervised fine-tuning. The loss is Σ mask·nll / Σ mask over the whole batch, never a mean of means.
 *
 *     states  tokens  targets  mask  (segments)   →   states  loss  grad_norm  learning_rate  tokens_counted
 */
export function sftStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: StepOptions & LossOptions = {}): Graph {
  const g = new GraphBuilder("sft_step");
  const { params, states, weights, adapters } = trainedModel(g, model, update, options);
  const { tokens, options: attention } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const loads: ExpertLoad[] = [];
  const onRouting = (_: unknown, load: ExpertLoad): void => void loads.push(load);
  const hidden = model.hidden(g, weights, tokens, { ...withAdapters(attention, adapters), onRouting });
  const trained = params.map(({ name }) => ensure(states.get(paramName(name)), name));
  const { loss, count, known } = stepLoss(g, model, { weights, hidden, targets, mask }, { chunks: options.chunks, trained });
  const metrics = new Map([["tokens_counted", count], ...expertMetrics(g, loads)]);
  applyUpdate(g, update, { params, states, loss, known, metrics, withGradients: options.withGradients === true });
  return g.finish();
}

/**
 * Losses of a batch as sums: sums of batches with unequal masks can be added, means cannot.
 *
 *     params  tokens  targets  mask  (segments)   →   loss_sum (nats)  tokens_counted
 */
export function sftEvalStep(model: Model, shape: SequenceShape, { lora, chunks }: Pick<StepOptions, "lora"> & LossOptions = {}): Graph {
  const g = new GraphBuilder("eval_step");
  const adapted = adaptedModel(model, lora);
  const weights = setParameters(g, adapted.params);
  const { tokens, options } = sequenceInputs(g, shape);
  const { targets, mask } = targetInputs(g, shape);
  const hidden = adapted.hidden(g, weights, tokens, options);
  const { sum, count } = evalLoss(g, adapted, { weights, hidden, targets, mask }, chunks);
  g.output("loss_sum", g.named("loss_sum", sum, [], "metric"));
  g.output("tokens_counted", g.named("tokens_counted", count, [], "metric"));
  return g.finish();
}
