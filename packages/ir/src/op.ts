import type { OpAttrs, OpName } from "./attrs.js";
import type { GraphBuilder } from "./builder.js";
import type { Value, ValueOf } from "./graph.js";
import type { ReductionKind } from "./sharding.js";
import type { Tensor } from "./tensor.js";
import type { TensorType } from "./types.js";

/** A dim, or a part of one, that an op treats as one thing: the letters of an einsum, as in Shardy's op sharding rules. */
export interface Factor {
  readonly size: number;
  /**
   * - `pass`: sharding it shards the op, chips need nothing of one another;
   * - `reduce`: not in the result; sharding it leaves the result unreduced, to be combined by `reduction`;
   * - `replicate`: the op needs it whole on every chip.
   */
  readonly kind: "pass" | "reduce" | "replicate";
  readonly reduction?: ReductionKind;
}

/** Per tensor, per dim: its factors, major to minor (indices into `factors`). */
export type FactorMap = readonly (readonly number[])[];

export interface OpFactors {
  readonly factors: readonly Factor[];
  readonly inputs: readonly FactorMap[];
  readonly output: FactorMap;
}

/** What a vjp sees: the op's value, its inputs, and the gradient of the result. */
export interface VjpContext<N extends OpName> {
  readonly value: ValueOf<N>;
  readonly inputs: readonly Value[];
  readonly grad: Value;
  readonly attrs: OpAttrs[N];
}

/**
 * All that Lapidary knows about one op; the kernel table of the worker and the export printers are the only other places that
 * name it. Every field must be given: what a new op lacks, the compiler lists.
 */
export interface OpDef<N extends OpName> {
  readonly name: N;
  /** Number of operands; null for any. */
  readonly arity: number | null;
  /** Result type from operand types; throws `ShapeError` on a mistake. */
  readonly type: (inputs: readonly TensorType[], attrs: OpAttrs[N]) => TensorType;
  /** Gradients of the operands (undefined: none flows), or null where the op has no derivative and none is ever needed. */
  readonly vjp: ((g: GraphBuilder, context: VjpContext<N>) => readonly (Value | undefined)[]) | null;
  /** Sharding rule; null for collectives, which stand after partition. */
  readonly factors: ((inputs: readonly TensorType[], output: TensorType, attrs: OpAttrs[N]) => OpFactors) | null;
  /**
   * Sets of operands in which the op is jointly linear: partial sums in all operands of a set (and none elsewhere) pass
   * through to partial sums of the result.
   */
  readonly linearIn: (attrs: OpAttrs[N], arity: number) => readonly (readonly number[])[];
  /** Attributes for a part of the arrays: global attributes → those for operands and result of the given dims. */
  readonly localize: (attrs: OpAttrs[N], inputs: readonly (readonly number[])[], output: readonly number[]) => OpAttrs[N];
  /** Floating-point operations from operand and result types (a multiply-add is 2). */
  readonly flops: (inputs: readonly TensorType[], output: TensorType, attrs: OpAttrs[N]) => number;
  /** Meaning on whole arrays, in double precision: the oracle. Null for `parameter` and collectives. */
  readonly evaluate: ((inputs: readonly Tensor[], attrs: OpAttrs[N], output: TensorType) => Tensor) | null;
}

export const defineOp = <N extends OpName>(def: OpDef<N>): OpDef<N> => def;

/** A total table over the ops. */
export type OpTable = { readonly [N in OpName]: OpDef<N> };

/** `localize` of ops whose attributes hold no dims. */
export const sameAttrs = <A>(attrs: A): A => attrs;

/** Factors of an op whose dims correspond one to one: `dims[i]` of the result is `dims[i]` of each operand. */
export function elementwiseFactors(inputs: readonly TensorType[], output: TensorType): OpFactors {
  const map = output.dims.map((_, i) => [i]);
  return { factors: output.dims.map((size) => ({ size, kind: "pass" as const })), inputs: inputs.map(() => map), output: map };
}

/** Linear in no operand: partial sums must be reduced before. */
export const notLinear = (): readonly (readonly number[])[] => [];
/** Linear in its first operand alone. */
export const linearInFirst = (): readonly (readonly number[])[] => [[0]];
