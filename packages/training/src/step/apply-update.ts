import { type Cotangent, gradients, gradientsFrom } from "@lapidary/compiler";
import type { GraphBuilder, Value } from "@lapidary/ir";
import type { ParamSpec } from "@lapidary/models";
import { ensure } from "@lapidary/std";
import { clipScale, globalNorm } from "../optimizer/gradient-norm.js";
import { makeUpdate, optimizerSlots } from "../optimizer/optimizer.js";
import type { UpdateConfig } from "../optimizer/optimizer-config.js";
import { learningRate } from "../optimizer/schedule.js";
import { gradientName, paramName, stepName } from "./train-state.js";

export interface StepUpdate {
  /** The trained parameters. Their names are those of `states`. */
  readonly params: readonly ParamSpec[];
  /** Values of all states of `trainState`, by state name. */
  readonly states: ReadonlyMap<string, Value>;
  /** Scalar. */
  readonly loss: Value;
  /** Derivatives of the loss from which the backward pass begins. Absent: it begins at the loss. */
  readonly known?: readonly Cotangent[] | undefined;
  /** The gradients of the trained parameters, if they are computed. Absent: the backward pass is appended. */
  readonly gradients?: readonly Value[] | undefined;
  /** More scalars that the program returns, by name. */
  readonly metrics: ReadonlyMap<string, Value>;
  /** Also return every gradient, before clipping, as `grads/<name>`. */
  readonly withGradients: boolean;
}

/** Differentiates the loss, updates the trained parameters, and outputs the next state, the loss and the metrics. */
export function applyUpdate(
  g: GraphBuilder,
  config: UpdateConfig,
  { params, states, loss, known, gradients: computed, metrics, withGradients }: StepUpdate,
): void {
  const state = (name: string): Value => ensure(states.get(name), name);
  const trained = params.map(({ name }) => state(paramName(name)));
  const raw = computed ?? (known === undefined ? gradients(g, loss, trained) : gradientsFrom(g, known, trained));
  g.inPhase("update", () => {
    const grads = params.map(({ name, logicalAxes }, i) => g.named(gradientName(name), ensure(raw[i], name), logicalAxes, "gradient"));
    const norm = g.named("grad_norm", globalNorm(g, grads), [], "metric");
    const rate = learningRate(g, state(stepName), config.schedule, config.optimizer.lr, config.steps);
    const gradientScale = config.clip === undefined ? undefined : clipScale(g, norm, config.clip);
    const slotNames = optimizerSlots(config.optimizer);
    const update = makeUpdate(g, config.optimizer, { step: state(stepName), learningRate: rate, gradientScale });
    params.forEach((spec, i) => {
      const { name } = spec;
      const { param, slots } = g.inBlock(spec.block, () =>
        g.scope(`update.${name}`, () =>
          update(
            spec,
            state(paramName(name)),
            ensure(grads[i], name),
            slotNames.map((slot) => state(`${slot}/${name}`)),
          ),
        ),
      );
      g.output(paramName(name), param);
      slots.forEach((slot, s) => g.output(`${ensure(slotNames[s], "slot")}/${name}`, slot));
      if (withGradients) g.output(gradientName(name), ensure(grads[i], name));
    });
    g.output(stepName, g.offset(state(stepName), 1));
    g.output("loss", g.named("loss", loss, [], "metric"));
    g.output("grad_norm", norm);
    g.output("learning_rate", g.named("learning_rate", rate, [], "metric"));
    for (const [name, metric] of metrics) g.output(name, g.named(name, metric, [], "metric"));
  });
}
