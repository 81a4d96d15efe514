import type { GraphBuilder, Value } from "@lapidary/ir";

/** x · sigmoid(x), the sigmoid as ½(1 + tanh(x/2)): one transcendental, no division. */
const silu = (g: GraphBuilder, x: Value): Value => g.multiply(g.scale(x, 0.5), g.offset(g.tanh(g.scale(x, 0.5)), 1));

/**
 * down(silu(gate) · up) (Shazeer 2020) from given projections.
 *
 * @param gate [B, T, F]
 * @param up [B, T, F]
 * @param down [D, F]
 */
export function swiglu(g: GraphBuilder, gate: Value, up: Value, down: Value): Value {
  const hidden = g.named("hidden", g.multiply(silu(g, gate), up));
  return g.named("out", g.dotGeneral(hidden, down, [], [[2, 1]]));
}
