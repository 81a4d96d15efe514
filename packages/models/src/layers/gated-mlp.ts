import type { GraphBuilder, Value } from "@lapidary/ir";
import { type Projection, project } from "./projection.js";

/** What multiplies gate and up. */
export type Activation = "gelu_tanh" | "silu";

/**
 * down(activation(gate) · up) (Shazeer 2020).
 *
 * @param projected gate and up, [B, T, F] each
 * @param down [D, F]
 */
export function gatedMlp(g: GraphBuilder, projected: (name: "gate" | "up") => Value, down: Projection, activation: Activation): Value {
  return project(g, "out", gated(g, projected, activation), down);
}

/** activation(gate) · up. */
export const gated = (g: GraphBuilder, projected: (name: "gate" | "up") => Value, activation: Activation): Value =>
  g.named("hidden", g.multiply(activations[activation](g, projected("gate")), projected("up")));

/** ½t(1 + tanh(√(2/π)(t + 0.044715 t³))), the polynomial as t·(c + c·0.044715·t²). */
export function geluTanh(g: GraphBuilder, t: Value): Value {
  const c = Math.sqrt(2 / Math.PI);
  const inner = g.multiply(t, g.offset(g.scale(g.square(t), 0.044715 * c), c));
  return g.multiply(g.scale(t, 0.5), g.offset(g.tanh(inner), 1));
}

/** x · sigmoid(x), the sigmoid as ½(1 + tanh(x/2)): one transcendental, no division. */
const silu = (g: GraphBuilder, x: Value): Value => g.multiply(g.scale(x, 0.5), g.offset(g.tanh(g.scale(x, 0.5)), 1));

const activations: Readonly<Record<Activation, (g: GraphBuilder, x: Value) => Value>> = { gelu_tanh: geluTanh, silu };
