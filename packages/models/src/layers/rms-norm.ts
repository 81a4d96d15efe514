import type { GraphBuilder, Value } from "@lapidary/ir";

/**
 * x · rsqrt(mean(x²) + eps) · (1 + weight) over the last dim, as in Gemma: a weight of zero scales by one.
 *
 * @param x [..., D]
 * @param weight [D]
 */
export function rmsNorm(g: GraphBuilder, x: Value, weight: Value, eps: number): Value {
  const dims = x.type.dims;
  const last = dims.length - 1;
  const rows = dims.map((_, d) => d).slice(0, last);
  const meanSquare = g.scale(g.reduce(g.square(x), [last], "sum"), 1 / (dims[last] ?? 1));
  const perRow = g.rsqrt(g.offset(meanSquare, eps));
  const unit = g.multiply(x, g.broadcastInDim(perRow, dims, rows));
  return g.multiply(unit, g.broadcastInDim(g.offset(weight, 1), dims, [last]));
}
