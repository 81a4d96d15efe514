import type { OpAttrs, OpName } from "./attrs.js";
import type { GradientBuilder } from "./gradient-builder.js";
import type { Value } from "./graph.js";
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
interface VjpContext<N extends OpName> {
  readonly value: Value;
  readonly inputs: readonly Value[];
  readonly grad: Value;
  readonly attrs: OpAttrs[N];
}

/**
 * How the fused kernel of the worker computes an op:
 * - `unary`, `binary`: by a formula for each element, under an opcode of the op's name;
 * - `compare`: by the opcode of the direction; `select`: by an opcode that chooses; `convert`: a predicate as a number;
 * - `view`: not at all, the numbers in memory are the same;
 * - `reduce`: along rows or over rows; `slice`, `concatenate`: rows from parts of other rows;
 * - `none`: the op has a kernel of its own.
 */
type Fusible = "unary" | "binary" | "compare" | "select" | "convert" | "view" | "reduce" | "slice" | "concatenate" | "none";

/** What a first operand can be such that the result is it too: a causal mask, or positions along one dim plus an offset. */
export type Preserved = "mask" | "positions";

/** Properties of an op that several packages ask for. They hold for every value of the op. */
export interface OpTraits {
  /** The result depends on where the chip's part is in the whole array: a kernel serves one part only. */
  readonly placed: boolean;
  /** The op needs no buffer: the users of the result compute it where they read it. */
  readonly producer: boolean;
  /** The op only writes elements, so that the cost model lets it join the loop that makes its operand. */
  readonly movesData: boolean;
  /** An element takes many slots of the vector unit. */
  readonly transcendental: boolean;
  /** Whose elements take slots of the vector unit: those of the first operand, of the result, or none. */
  readonly vectorWork: "operand" | "result" | "none";
  /** The kind of a kernel that begins with the op, in the cost model. */
  readonly kernel: "product" | "lookup" | "loop";
  /** The result can have more digits than bf16 has when the operands are bf16: it must be rounded. */
  readonly rounds: boolean;
  /** With constant operands the result is the same in every run: a worker may compute it once, at load. */
  readonly foldable: boolean;
  /** Chips send each other elements. */
  readonly communicates: boolean;
  readonly fusible: Fusible;
  /** The cost model looks for masks and positions through the op. */
  readonly preserves: readonly Preserved[];
}

/**
 * All that Lapidary knows about one op; the kernels of the worker and, for ops that are not elementwise, the export printers
 * are the only other places that name it. Every field must be given: what a new op lacks, the compiler lists.
 */
export interface OpDef<N extends OpName> extends OpTraits {
  readonly name: N;
  /** Number of operands; null for any. */
  readonly arity: number | null;
  /** Result type from operand types; throws `ShapeError` on a mistake. */
  readonly type: (inputs: readonly TensorType[], attrs: OpAttrs[N]) => TensorType;
  /** Gradients of the operands (undefined: none flows), or null where the op has no derivative and none is ever needed. */
  readonly vjp: ((g: GradientBuilder, context: VjpContext<N>) => readonly (Value | undefined)[]) | null;
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

/** A table with one entry for each of the names. */
export const tableOf = <N extends string, T>(names: readonly N[], entry: (name: N) => T): Readonly<Record<N, T>> =>
  Object.fromEntries(names.map((name) => [name, entry(name)])) as Record<N, T>;

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
