import type { CompareDirection, DimPair, OpAttrs, OpName } from "./attrs.js";
import type { Value } from "./graph.js";
import type { ReductionKind } from "./sharding.js";
import type { Dtype, TensorType } from "./types.js";

/**
 * The methods with which derivatives append values. `GraphBuilder` implements them. It imports the op definitions, so that
 * definitions import this interface instead of the class.
 */
export interface GradientBuilder {
  /** Appends any op. */
  op<N extends OpName>(op: N, inputs: readonly Value[], attrs: OpAttrs[N]): Value;
  /** `value` in every element of `type`. */
  splat(value: number, type: TensorType): Value;

  negate(x: Value): Value;
  exponential(x: Value): Value;
  log(x: Value): Value;
  tanh(x: Value): Value;
  sqrt(x: Value): Value;
  rsqrt(x: Value): Value;
  cosine(x: Value): Value;
  sine(x: Value): Value;
  abs(x: Value): Value;
  add(a: Value, b: Value): Value;
  subtract(a: Value, b: Value): Value;
  multiply(a: Value, b: Value): Value;
  divide(a: Value, b: Value): Value;
  maximum(a: Value, b: Value): Value;
  minimum(a: Value, b: Value): Value;
  compare(a: Value, b: Value, direction: CompareDirection): Value;
  select(p: Value, a: Value, b: Value): Value;
  convert(x: Value, dtype: Dtype): Value;

  broadcastInDim(x: Value, dims: readonly number[], broadcastDimensions: readonly number[]): Value;
  reshape(x: Value, dims: readonly number[]): Value;
  transpose(x: Value, permutation: readonly number[]): Value;
  slice(x: Value, start: readonly number[], limit: readonly number[]): Value;
  pad(x: Value, low: readonly number[], high: readonly number[]): Value;
  concatenate(xs: readonly Value[], dimension: number): Value;
  reduce(x: Value, dims: readonly number[], kind: ReductionKind): Value;
  dotGeneral(a: Value, b: Value, batch: readonly DimPair[], contracting: readonly DimPair[]): Value;
  gather(table: Value, ids: Value, batch?: number): Value;
  scatter(ids: Value, updates: Value, rows: number, batch?: number): Value;

  /** `x` times a number. */
  scale(x: Value, factor: number): Value;
  /** `x` plus a number. */
  offset(x: Value, amount: number): Value;
  square(x: Value): Value;
}
