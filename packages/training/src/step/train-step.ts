import { gradients } from "@lapidary/compiler";
import { type Graph, GraphBuilder, type Value } from "@lapidary/ir";
import { logitsOf, type Model, meanLoss, tokenLosses } from "@lapidary/models";
import { must } from "@lapidary/std";
import { clipScale, globalNorm } from "../optimizer/gradient-norm.js";
import { makeUpdate, optimizerSlots } from "../optimizer/optimizer.js";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { learningRate } from "../optimizer/schedule.js";
import { type BatchShape, batchParameters } from "./batch-inputs.js";
import { gradientName, paramName, stateParameter, stepName, trainState } from "./train-state.js";

export interface TrainStepOptions {
  /** Also return every gradient, before clipping, as `grads/<name>`. */
  readonly withGradients?: boolean;
  /** Also return `logits` f32[batch, seq, vocab]. */
  readonly withLogits?: boolean;
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
 * States and batch are named as in `trainState` and `batchParameters`. Gradients carry the logical axes of their
 * parameter and the role "gradient": ZeRO is a sharding of these, nothing else.
 */
export function trainStep(model: Model, config: UpdateConfig, shape: BatchShape, options: TrainStepOptions = {}): Graph {
  const g = new GraphBuilder("train_step");
  const states = new Map(trainState(model, config.optimizer).map((spec) => [spec.name, stateParameter(g, spec)]));
  const state = (name: string): Value => must(states.get(name), name);
  const weights = new Map(model.params.map(({ name }) => [name, state(paramName(name))]));
  const { tokens, targets, mask } = batchParameters(g, shape);

  const logits = logitsOf(model, g, weights, tokens);
  const { loss, count } = meanLoss(g, tokenLosses(g, logits, targets), mask);
  const raw = gradients(g, loss, [...weights.values()]);

  g.inPhase("update", () => {
    const grads = model.params.map(({ name, logicalAxes }, i) => g.named(gradientName(name), must(raw[i], name), logicalAxes, "gradient"));
    const norm = g.named("grad_norm", globalNorm(g, grads), [], "metric");
    const rate = learningRate(g, state(stepName), config.schedule, config.optimizer.lr, config.steps);
    const gradientScale = config.clip === undefined ? undefined : clipScale(g, norm, config.clip);
    const slotNames = optimizerSlots(config.optimizer);
    const update = makeUpdate(g, config.optimizer, { step: state(stepName), learningRate: rate, gradientScale });
    model.params.forEach((spec, i) => {
      const { name } = spec;
      const { param, slots } = g.inBlock(spec.block, () =>
        g.scope(`update.${name}`, () =>
          update(
            spec,
            state(paramName(name)),
            must(grads[i], name),
            slotNames.map((slot) => state(`${slot}/${name}`)),
          ),
        ),
      );
      g.output(paramName(name), param);
      slots.forEach((slot, s) => g.output(`${must(slotNames[s], "slot")}/${name}`, slot));
      if (options.withGradients === true) g.output(gradientName(name), must(grads[i], name));
    });
    g.output(stepName, g.offset(state(stepName), 1));
    g.output("loss", g.named("loss", loss, [], "metric"));
    g.output("grad_norm", norm);
    g.output("learning_rate", g.named("learning_rate", rate, [], "metric"));
    g.output("tokens_counted", g.named("tokens_counted", count, [], "metric"));
  });
  if (options.withLogits === true) g.output("logits", logits);
  return g.finish();
}
