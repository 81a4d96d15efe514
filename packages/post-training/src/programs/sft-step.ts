import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import type { ExpertLoad, LoraConfig, Model } from "@lapidary/models";
import {
  type LossChunks,
  type PartObjective,
  type UpdateConfig,
  accumulate,
  accumulateSums,
  applyUpdate,
  evalLoss,
  loadMetrics,
  loadSums,
  loadTypes,
  paramName,
  stepLoss,
} from "@lapidary/training";
import { ensure } from "@lapidary/std";
import { type SequenceShape, attentionOptions, targetInputs, tokenInputs } from "./inputs.js";
import { adaptedModel, setParameters, trainedModel, withAdapters } from "./trained-model.js";

export interface StepOptions {
  /** Trains this adapter; the weights are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Also return the gradients, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
}

interface LossOptions {
  /** The loss is computed in pieces. Absent: from all logits. */
  readonly chunks?: LossChunks | undefined;
}

export interface SftStepOptions extends StepOptions, LossOptions {
  /** Parts of the batch whose gradients are added before the update; 1 by default. */
  readonly microbatches?: number | undefined;
}

/**
 * One step of supervised fine-tuning. The loss is Σ mask·nll / Σ mask over the whole batch, never a mean of means.
 *
 *     states  tokens  targets  mask  (segments)   →   states  loss  grad_norm  learning_rate  tokens_counted
 */
export function sftStep(model: Model, update: UpdateConfig, shape: SequenceShape, options: SftStepOptions = {}): Graph {
  const g = new GraphBuilder("sft_step");
  const { params, states, weights, adapters } = trainedModel(g, model, update, options);
  const batch = { ...tokenInputs(g, shape), ...targetInputs(g, shape) };
  const trained = params.map(({ name }) => ensure(states.get(paramName(name)), name));
  const { microbatches: count = 1, chunks, withGradients = false } = options;
  const objective = ({ tokens, segments, targets, mask }: SftBatch, total?: Value): PartObjective => {
    const loads: ExpertLoad[] = [];
    const onRouting = (_: unknown, load: ExpertLoad): void => void loads.push(load);
    const hidden = model.hidden(g, weights, tokens, { ...withAdapters(attentionOptions(g, segments), adapters), onRouting });
    const own = stepLoss(g, model, { weights, hidden, targets, mask, total }, { chunks, trained });
    return { ...own, totals: loadSums(g, loads) };
  };
  const total = count === 1 ? undefined : g.named("tokens_counted", g.reduce(batch.mask, [0, 1], "sum"));
  const metricsOf = (counted: Value, totals: readonly Value[] = []): Map<string, Value> =>
    new Map([["tokens_counted", counted], ...loadMetrics(g, totals)]);
  if (total === undefined) {
    const { loss, count: counted, known, totals } = objective(batch);
    applyUpdate(g, update, { params, states, loss, known, metrics: metricsOf(counted, totals), withGradients });
  } else {
    const sums = accumulate(g, { count, batch, trained, totals: loadTypes(model), objective: (part) => objective(part, total) });
    applyUpdate(g, update, { params, states, ...sums, metrics: metricsOf(total, sums.totals), withGradients });
  }
  return g.finish();
}

type SftBatch = ReturnType<typeof tokenInputs> & ReturnType<typeof targetInputs>;

/**
 * Losses of a batch as sums: sums of batches with unequal masks can be added, means cannot.
 *
 *     params  tokens  targets  mask  (segments)   →   loss_sum (nats)  tokens_counted
 */
export function sftEvalStep(
  model: Model,
  shape: SequenceShape,
  { lora, chunks, microbatches: count = 1 }: Pick<SftStepOptions, "lora" | "chunks" | "microbatches"> = {},
): Graph {
  const g = new GraphBuilder("eval_step");
  const adapted = adaptedModel(model, lora);
  const weights = setParameters(g, adapted.params);
  const batch = { ...tokenInputs(g, shape), ...targetInputs(g, shape) };
  const sums = ({ tokens, segments, targets, mask }: SftBatch): { sum: Value; count: Value } => {
    const hidden = adapted.hidden(g, weights, tokens, attentionOptions(g, segments));
    return evalLoss(g, adapted, { weights, hidden, targets, mask }, chunks);
  };
  const total = accumulateSums(g, { count, batch, sums });
  g.output("loss_sum", g.named("loss_sum", total.sum, [], "metric"));
  g.output("tokens_counted", g.named("tokens_counted", total.count, [], "metric"));
  return g.finish();
}
