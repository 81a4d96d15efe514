import type { GraphBuilder, Value } from "@lapidary/ir";

/** log σ(x) = min(x, 0) − log(1 + e^−|x|): finite for every x. */
export const logSigmoid = (g: GraphBuilder, x: Value): Value =>
  g.subtract(g.minimum(x, g.splat(0, x.type)), g.log(g.offset(g.exponential(g.negate(g.abs(x))), 1)));

/** x limited to [low, high]; its gradient is 0 outside. */
export const clamp = (g: GraphBuilder, x: Value, low: number, high: number): Value =>
  g.maximum(g.minimum(x, g.splat(high, x.type)), g.splat(low, x.type));

/** Sum over all dims: a scalar. */
export const sumAll = (g: GraphBuilder, x: Value): Value =>
  g.reduce(
    x,
    x.type.dims.map((_, d) => d),
    "sum",
  );

/** Mean over all elements: a scalar. */
export const meanAll = (g: GraphBuilder, x: Value): Value => g.scale(sumAll(g, x), 1 / x.type.dims.reduce((a, b) => a * b, 1));

/** Σ mask·x / Σ mask over all elements; 0 if the mask is empty. */
export const maskedMean = (g: GraphBuilder, x: Value, mask: Value): Value =>
  g.divide(sumAll(g, g.multiply(x, mask)), g.maximum(sumAll(g, mask), g.scalar(1)));

/** Sums of rows: [B, T] → [B]. */
export const rowSums = (g: GraphBuilder, x: Value): Value => g.reduce(x, [1], "sum");

/** [B] → [B, T], a number for each row. */
export const perToken = (g: GraphBuilder, rows: Value, like: Value): Value => g.broadcastInDim(rows, like.type.dims, [0]);

/** The value as 1 where the comparison holds, else 0. */
export const indicator = (g: GraphBuilder, predicate: Value): Value => g.convert(predicate, "f32");
