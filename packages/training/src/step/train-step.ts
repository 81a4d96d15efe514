import { type Graph, GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { balanceLoss, type ExpertLoad, fromBalanced, type Model, type Routing, toBalanced } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { applyUpdate, type StepUpdate } from "./apply-update.js";
import { type BatchShape, batchParameters } from "./batch-inputs.js";
import { loadMetrics, loadSums, loadTypes } from "./expert-load.js";
import { accumulate, type PartObjective } from "./microbatches.js";
import { pipelinePasses } from "./pipeline/passes.js";
import { type LossChunks, type Objective, stepLoss } from "./token-loss.js";
import { paramName, stateParameter, trainState } from "./train-state.js";

export interface TrainStepOptions {
  /** Also return every gradient, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
  /** Also return `logits` f32[batch, seq, vocab]. */
  readonly withLogits?: boolean;
  /** The loss is computed in pieces. Absent: from all logits. */
  readonly chunks?: LossChunks | undefined;
  /** Parts of the batch whose gradients are added before the update; 1 by default. */
  readonly microbatches?: number | undefined;
}

/** Scalars that a train step returns in addition to the next state. */
export const trainMetrics = ["loss", "grad_norm", "learning_rate", "tokens_counted"] as const;

/**
 * One optimizer step as a graph:
 *
 *     params/…  adam_m/…  adam_v/…  step  │  tokens  targets  mask
 *          └───────────────┬──────────────┴──────────┘
 *          forward, loss, backward, clip, update
 *          ┌───────────────┴──────────────┬──────────┐
 *     the same names, next state          │  loss  grad_norm  learning_rate  tokens_counted
 *
 * With microbatches, a region computes the passes of one part of the batch after the other.
 *
 * A mixture of experts also returns the load of each expert (`loadMetrics`). States and batch are named as in `trainState` and
 * `batchParameters`. Gradients carry the logical axes of their
 * parameter and the role "gradient": ZeRO is a sharding of these, nothing else.
 */
export function trainStep(model: Model, config: UpdateConfig, shape: BatchShape, options: TrainStepOptions = {}): Graph {
  const g = new GraphBuilder("train_step");
  const states = new Map(trainState(model, config.optimizer).map((spec) => [spec.name, stateParameter(g, spec)]));
  const state = (name: string): Value => ensure(states.get(name), name);
  const weights = new Map(model.params.map(({ name }) => [name, state(paramName(name))]));
  const { balancedParts } = model;
  const batch = balancedBatch(g, batchParameters(g, shape), balancedParts);
  const inOrder = (logits: Value): Value => (balancedParts === undefined ? logits : fromBalanced(g, logits, balancedParts));
  const trained = [...weights.values()];
  const { microbatches: count = 1, chunks, withGradients = false, withLogits = false } = options;
  const objective = ({ tokens, targets, mask }: typeof batch, total?: Value): PartObjective => {
    const routings: Routing[] = [];
    const loads: ExpertLoad[] = [];
    const onRouting = (routing: Routing, load: ExpertLoad): void => {
      routings.push(routing);
      loads.push(load);
    };
    const hidden = model.hidden(g, weights, tokens, { onRouting, balancedParts });
    const own = stepLoss(g, model, { weights, hidden, targets, mask, total }, { chunks, trained });
    return { ...withBalance(g, model, own, routings, count), totals: loadSums(g, loads) };
  };
  const update = (of: Pick<StepUpdate, "loss" | "known" | "gradients">, counted: Value, totals: readonly Value[]): void => {
    const metrics = new Map([["tokens_counted", counted], ...loadMetrics(g, totals)]);
    applyUpdate(g, config, { params: model.params, states, ...of, metrics, withGradients });
  };
  if (model.pipeline !== undefined) {
    const { pipeline } = model;
    const total = g.named("tokens_counted", g.reduce(batch.mask, [0, 1], "sum"));
    const passes = { model, pipeline, weights, batch, microbatches: count, chunks, total, withLogits };
    const { loss, gradients, logits } = pipelinePasses(g, passes);
    update({ loss, gradients: model.params.map(({ name }) => ensure(gradients.get(name), name)) }, total, []);
    if (withLogits) g.output("logits", logits());
    return g.finish();
  }
  if (count === 1) {
    const { loss, known, count: counted, logits, totals = [] } = objective(batch);
    update({ loss, known }, counted, totals);
    if (withLogits) g.output("logits", inOrder(logits()));
    return g.finish();
  }
  const total = g.named("tokens_counted", g.reduce(batch.mask, [0, 1], "sum"));
  const logitsType = withLogits ? tensorType("f32", [shape.batch, shape.seq, model.vocabSize]) : undefined;
  const sums = accumulate(g, {
    count,
    batch,
    trained,
    logits: logitsType,
    totals: loadTypes(model),
    objective: (part) => objective(part, total),
  });
  update(sums, total, sums.totals);
  if (sums.logits !== undefined) g.output("logits", inOrder(sums.logits));
  return g.finish();
}

/**
 * The batch with rows in balanced order. A chip gathers the tokens, targets and masks of its rows, which are small, and keeps its pieces. No
 * sum over the positions of a row changes.
 */
function balancedBatch<B extends Readonly<Record<string, Value>>>(g: GraphBuilder, batch: B, parts: number | undefined): B {
  if (parts === undefined) return batch;
  return Object.fromEntries(
    Object.entries(batch).map(([name, rows]) => [name, g.named(`${name}_balanced`, toBalanced(g, rows, parts), ["batch", "seq"])]),
  ) as unknown as B;
}

/**
 * Adds the weighted auxiliary loss of a mixture of experts. It counts every token of the batch, whether its target counts or not. With
 * microbatches it is the mean of the auxiliary losses of the parts, as in Megatron.
 */
function withBalance(
  g: GraphBuilder,
  { balanceWeight }: Model,
  objective: Objective,
  routings: readonly Routing[],
  microbatches: number,
): Objective {
  if (balanceWeight === undefined || routings.length === 0) return objective;
  const balance = g.scale(balanceLoss(g, routings), balanceWeight / microbatches);
  const { known } = objective;
  return {
    ...objective,
    loss: g.add(objective.loss, balance),
    ...(known === undefined ? {} : { known: [...known, { value: balance, cotangent: g.scalar(1) }] }),
  };
}
