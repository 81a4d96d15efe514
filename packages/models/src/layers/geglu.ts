import type { GraphBuilder, Value } from "@lapidary/ir";

export interface GegluWeights {
  /** [F, D] */
  readonly gate: Value;
  /** [F, D] */
  readonly up: Value;
  /** [D, F] */
  readonly down: Value;
}

/**
 * down(gelu(gate(x)) · up(x)) (Shazeer 2020), gelu in its tanh form.
 *
 * @param x [B, T, D], normalised
 */
export function geglu(g: GraphBuilder, x: Value, { gate, up, down }: GegluWeights): Value {
  const project = (name: string, weight: Value): Value => g.named(name, g.dotGeneral(x, weight, [], [[2, 1]]), ["batch", "seq", "mlp"]);
  const hidden = g.named("hidden", g.multiply(geluTanh(g, project("gate", gate)), project("up", up)));
  return g.named("out", g.dotGeneral(hidden, down, [], [[2, 1]]));
}

/** ½t(1 + tanh(√(2/π)(t + 0.044715 t³))), the polynomial as t·(c + c·0.044715·t²). */
export function geluTanh(g: GraphBuilder, t: Value): Value {
  const c = Math.sqrt(2 / Math.PI);
  const inner = g.multiply(t, g.offset(g.scale(g.square(t), 0.044715 * c), c));
  return g.multiply(g.scale(t, 0.5), g.offset(g.tanh(inner), 1));
}
