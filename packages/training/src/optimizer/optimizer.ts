import type { GraphBuilder, Value } from "@lapidary/ir";
import type { ParamSpec } from "@lapidary/models";
import { ensure, assertNever } from "@lapidary/std";
import type { OptimizerConfig } from "./optimizer-config.js";

/**
 * Names of the states that the optimizer keeps for every parameter. A state has the dims of its parameter. The state `adam_m` of parameter w has the name `adam_m/w`.
 *
 * `adam_m` is Σ β₁ᵏ·g and `adam_v` is Σ β₂ᵏ·g², newest first: the moments of Kingma and Ba divided by (1 − β). This saves two
 * passes over every parameter, because scalars absorb the factor.
 */
export function optimizerSlots(optimizer: OptimizerConfig): readonly string[] {
  return optimizer.name === "adamw" ? ["adam_m", "adam_v"] : [];
}

/** The scalars of a step, which every update of a parameter uses. */
export interface UpdateScalars {
  /** f32 scalar: the step, from 0. */
  readonly step: Value;
  readonly learningRate: Value;
  /** The factor of gradient clipping; undefined without clipping. */
  readonly gradientScale: Value | undefined;
}

interface Updated {
  readonly param: Value;
  /** Next states, in the order of `optimizerSlots`. */
  readonly slots: readonly Value[];
}

export type UpdateParam = (spec: ParamSpec, param: Value, gradient: Value, slots: readonly Value[]) => Updated;

/** Computes the scalars of a step once. The returned function updates one parameter. */
export function makeUpdate(g: GraphBuilder, optimizer: OptimizerConfig, scalars: UpdateScalars): UpdateParam {
  switch (optimizer.name) {
    case "adamw":
      return adamw(g, optimizer, scalars);
    case "sgd":
      return sgd(g, optimizer, scalars);
    default:
      return assertNever(optimizer);
  }
}

const fill = (g: GraphBuilder, scalar: Value, like: Value): Value => g.broadcastInDim(scalar, like.type.dims, []);
const scaleBy = (g: GraphBuilder, x: Value, scalar: Value | undefined): Value =>
  scalar === undefined ? x : g.multiply(x, fill(g, scalar, x));

/** 1 − learning rate · decay, or undefined without weight decay. */
const weightDecayFactor = (g: GraphBuilder, { learningRate }: UpdateScalars, decay: number): Value | undefined =>
  decay === 0 ? undefined : g.offset(g.scale(learningRate, -decay), 1);

/**
 * AdamW (Loshchilov and Hutter 2019): w ← w(1 − ηλ) − η·m̂ / (√v̂ + ε), where m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ), t from 1.
 *
 * With M = m/(1 − β₁), V = v/(1 − β₂) and c = √((1 − β₂ᵗ)/(1 − β₂)), the step is a·M / (√V + ε·c), a = η·c·(1 − β₁)/(1 − β₁ᵗ):
 * eleven passes over a parameter.
 */
function adamw(g: GraphBuilder, config: Extract<OptimizerConfig, { name: "adamw" }>, scalars: UpdateScalars): UpdateParam {
  const [beta1, beta2] = config.betas;
  const t = g.offset(scalars.step, 1);
  const c = g.sqrt(g.scale(oneMinusPower(g, beta2, t), 1 / (1 - beta2)));
  const rate = g.scale(g.divide(g.multiply(scalars.learningRate, c), oneMinusPower(g, beta1, t)), 1 - beta1);
  const epsilon = g.scale(c, config.eps);
  const kept = weightDecayFactor(g, scalars, config.weight_decay);
  const scale = scalars.gradientScale;
  const scaleSquared = scale === undefined ? undefined : g.square(scale);

  return (spec, param, gradient, slots) => {
    const [m, v] = [ensure(slots[0], `adam_m/${spec.name}`), ensure(slots[1], `adam_v/${spec.name}`)];
    const nextM = g.add(g.scale(m, beta1), scaleBy(g, gradient, scale));
    // The square of the raw gradient is part of its global norm too: the compiler computes it once.
    const nextV = g.add(g.scale(v, beta2), scaleBy(g, g.square(gradient), scaleSquared));
    const move = g.divide(g.multiply(nextM, fill(g, rate, param)), g.add(g.sqrt(nextV), fill(g, epsilon, param)));
    return { param: g.subtract(scaleBy(g, param, kept), move), slots: [nextM, nextV] };
  };
}

/** 1 − βᵗ = 2h/(1 + h) with h = tanh(−t·ln β / 2): exact in f32 even if βᵗ is close to 1. */
function oneMinusPower(g: GraphBuilder, beta: number, t: Value): Value {
  if (beta === 0) return g.scalar(1);
  const h = g.tanh(g.scale(t, -Math.log(beta) / 2));
  return g.divide(g.scale(h, 2), g.offset(h, 1));
}

/** w ← w(1 − ηλ) − η·g. */
function sgd(g: GraphBuilder, config: Extract<OptimizerConfig, { name: "sgd" }>, scalars: UpdateScalars): UpdateParam {
  const kept = weightDecayFactor(g, scalars, config.weight_decay);
  const rate = scalars.gradientScale === undefined ? scalars.learningRate : g.multiply(scalars.learningRate, scalars.gradientScale);
  return (_spec, param, gradient) => ({ param: g.subtract(scaleBy(g, param, kept), scaleBy(g, gradient, rate)), slots: [] });
}
