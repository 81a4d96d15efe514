import type { GraphBuilder, Value } from "@lapidary/ir";
import { type Projection, project } from "./projection.js";

export interface GegluWeights {
  /** [F, D] */
  readonly gate: Projection;
  /** [F, D] */
  readonly up: Projection;
  /** [D, F] */
  readonly down: Projection;
}

/**
 * down(gelu(gate(x)) · up(x)) (Shazeer 2020), gelu in its tanh form.
 *
 * @param x [B, T, D], normalised
 */
export function geglu(g: GraphBuilder, x: Value, { gate, up, down }: GegluWeights): Value {
  const wide = (name: string, projection: Projection): Value => project(g, name, x, projection, ["batch", "seq", "mlp"]);
  const hidden = g.named("hidden", g.multiply(geluTanh(g, wide("gate", gate)), wide("up", up)));
  return project(g, "out", hidden, down);
}

/** ½t(1 + tanh(√(2/π)(t + 0.044715 t³))), the polynomial as t·(c + c·0.044715·t²). */
export function geluTanh(g: GraphBuilder, t: Value): Value {
  const c = Math.sqrt(2 / Math.PI);
  const inner = g.multiply(t, g.offset(g.scale(g.square(t), 0.044715 * c), c));
  return g.multiply(g.scale(t, 0.5), g.offset(g.tanh(inner), 1));
}
