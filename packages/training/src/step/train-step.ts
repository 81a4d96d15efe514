import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import { balanceLoss, type ExpertLoad, type Model, type Routing } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { applyUpdate } from "./apply-update.js";
import { type BatchShape, batchParameters } from "./batch-inputs.js";
import { expertMetrics } from "./expert-load.js";
import { type LossChunks, type Objective, stepLoss } from "./token-loss.js";
import { paramName, stateParameter, trainState } from "./train-state.js";

export interface TrainStepOptions {
  /** Also return every gradient, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
  /** Also return `logits` f32[batch, seq, vocab]. */
  readonly withLogits?: boolean;
  /** The loss is computed in pieces. Absent: from all logits. */
  readonly chunks?: LossChunks | undefined;
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
 * A mixture of experts also returns the load of each expert (`expertMetrics`). States and batch are named as in `trainState` and `batchParameters`. Gradients carry the logical axes of their
 * parameter and the role "gradient": ZeRO is a sharding of these, nothing else.
 */
export function trainStep(model: Model, config: UpdateConfig, shape: BatchShape, options: TrainStepOptions = {}): Graph {
  const g = new GraphBuilder("train_step");
  const states = new Map(trainState(model, config.optimizer).map((spec) => [spec.name, stateParameter(g, spec)]));
  const state = (name: string): Value => ensure(states.get(name), name);
  const weights = new Map(model.params.map(({ name }) => [name, state(paramName(name))]));
  const { tokens, targets, mask } = batchParameters(g, shape);

  const routings: Routing[] = [];
  const loads: ExpertLoad[] = [];
  const onRouting = (routing: Routing, load: ExpertLoad): void => {
    routings.push(routing);
    loads.push(load);
  };
  const hidden = model.hidden(g, weights, tokens, { onRouting });
  const inputs = { weights, hidden, targets, mask };
  const objective = stepLoss(g, model, inputs, { chunks: options.chunks, trained: [...weights.values()] });
  const { loss, count, known, logits } = withBalance(g, model, objective, routings);
  const metrics = new Map([["tokens_counted", count], ...expertMetrics(g, loads)]);
  applyUpdate(g, config, { params: model.params, states, loss, known, metrics, withGradients: options.withGradients === true });
  if (options.withLogits === true) g.output("logits", logits());
  return g.finish();
}

/** Adds the weighted auxiliary loss of a mixture of experts. It counts every token of the batch, whether its target counts or not. */
function withBalance(g: GraphBuilder, { balanceWeight }: Model, objective: Objective, routings: readonly Routing[]): Objective {
  if (balanceWeight === undefined || routings.length === 0) return objective;
  const balance = g.scale(balanceLoss(g, routings), balanceWeight);
  const { known } = objective;
  return {
    ...objective,
    loss: g.add(objective.loss, balance),
    ...(known === undefined ? {} : { known: [...known, { value: balance, cotangent: g.scalar(1) }] }),
  };
}
