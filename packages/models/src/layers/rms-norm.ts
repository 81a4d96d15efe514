import type { GraphBuilder, Value } from "@lapidary/ir";

/** How the weight scales: by itself (`plain`), or by 1 + weight, so that a weight of zero scales by one (`one_plus`, as in Gemma). */
export interface NormOptions {
  readonly norm: "plain" | "one_plus";
  readonly eps: number;
}

/**
 * x · rsqrt(mean(x²) + eps) times the weight, or times 1 + weight, over the last dim.
 *
 * @param x [..., D]
 * @param weight [D]
 */
export function rmsNorm(g: GraphBuilder, x: Value, weight: Value, { norm, eps }: NormOptions): Value {
  const dims = x.type.dims;
  const last = dims.length - 1;
  const rows = dims.map((_, d) => d).slice(0, last);
  const meanSquare = g.scale(g.reduce(g.square(x), [last], "sum"), 1 / (dims[last] ?? 1));
  const perRow = g.rsqrt(g.offset(meanSquare, eps));
  const unit = g.multiply(x, g.broadcastInDim(perRow, dims, rows));
  return g.multiply(unit, g.broadcastInDim(norm === "plain" ? weight : g.offset(weight, 1), dims, [last]));
}
