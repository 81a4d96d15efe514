import type { GraphBuilder, Value } from "@lapidary/ir";
import type { Adapter } from "../model.js";

/** The weight [out, in] of a projection, and what LoRA adds to it. */
export interface Projection {
  readonly weight: Value;
  readonly adapter?: Adapter | undefined;
}

/**
 * x·Wᵀ, or with an adapter x·Wᵀ + scale · (x·Aᵀ)·Bᵀ. W + scale·B·A is never built, so that its gradient, as large as W, is never built.
 *
 * @param x [..., in]
 * @param axes logical axes of the result [..., out]
 */
export function project(
  g: GraphBuilder,
  name: string,
  x: Value,
  { weight, adapter }: Projection,
  axes?: readonly (string | null)[],
): Value {
  const last = x.type.dims.length - 1;
  const base = g.named(name, g.dotGeneral(x, weight, [], [[last, 1]]), axes);
  if (adapter === undefined) return base;
  const down = g.named(`${name}_lora_a`, g.dotGeneral(x, adapter.a, [], [[last, 1]]));
  return g.named(`${name}_lora`, g.add(base, lowRank(g, down, adapter)), axes);
}

/** scale · down·Bᵀ for down [..., r]. */
export const lowRank = (g: GraphBuilder, down: Value, { b, scale }: Adapter): Value =>
  g.scale(g.dotGeneral(down, b, [], [[down.type.dims.length - 1, 1]]), scale);
