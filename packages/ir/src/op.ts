import type { OpAttrs, OpName } from "./attrs.js";
import type { GradientBuilder } from "./gradient-builder.js";
import type { Value } from "./graph.js";
import type { ReductionKind } from "./sharding.js";
import type { Tensor } from "./tensor.js";
import type { TensorType } from "./types.js";

/** A dim, or a part of a dim: an index letter of an einsum, as in Shardy's op sharding rules. */
export interface Factor {
  readonly size: number;
  /**
   * - `pass`: if it is sharded, the op is sharded without communication;
   * - `reduce`: not in the result; if it is sharded, the result is unreduced and must be combined by `reduction`;
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

/** The input of a vjp: the op's value, its inputs, and the gradient of the result. */
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
 * - `view`: not at all, because the numbers in memory are the same;
 * - `reduce`: along rows or over rows; `slice`, `concatenate`: rows from parts of other rows;
 * - `none`: the op has its own kernel.
 */
type Fusible = "unary" | "binary" | "compare" | "select" | "convert" | "view" | "reduce" | "slice" | "concatenate" | "none";

/** A property of the first operand that the result keeps: a causal mask, or positions along one dim plus an offset. */
export type Preserved = "mask" | "positions";

/** Properties of an op that several packages read. They hold for every value of the op. */
export interface OpTraits {
  /** The result depends on the position of the chip's part in the whole array: each part needs its own kernel. */
  readonly placed: boolean;
  /** The result needs no buffer, because its users compute it when they read it. */
  readonly producer: boolean;
  /** The op only copies elements. The cost model fuses it with the loop that computes its operand. */
  readonly movesData: boolean;
  /** An element uses many slots of the vector unit. */
  readonly transcendental: boolean;
  /** The elements that use slots of the vector unit: those of the first operand, of the result, or none. */
  readonly vectorWork: "operand" | "result" | "none";
  /** The kind of a kernel that begins with the op, in the cost model. `product` is a matmul. */
  readonly kernel: "product" | "lookup" | "loop";
  /** With operands in bf16 the result can need more digits than bf16 has: it must be rounded. */
  readonly rounds: boolean;
  /** With constant operands the result is the same in every run, so that a worker may compute it once, at load. */
  readonly foldable: boolean;
  /** Chips send each other elements. */
  readonly communicates: boolean;
  readonly fusible: Fusible;
  /** Properties that the cost model follows through the op. */
  readonly preserves: readonly Preserved[];
}

/** The traits of ops that multiply matrices. */
export const productTraits = {
  placed: false,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "product",
  rounds: true,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
} as const satisfies OpTraits;

/** The traits of an op that copies elements to other positions in a loop, and computes nothing. */
export const movementTraits = {
  placed: false,
  producer: false,
  movesData: true,
  transcendental: false,
  vectorWork: "result",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
} as const satisfies OpTraits;

/**
 * The definition of one op. The only other places that name the op are the kernels of the worker and, for ops that are not
 * elementwise, the export printers. Every field is required: TypeScript lists the fields that a new op lacks.
 */
export interface OpDef<N extends OpName> extends OpTraits {
  readonly name: N;
  /** Number of operands; null for any. */
  readonly arity: number | null;
  /** Result type from operand types; throws `ShapeError` if the operands do not fit. */
  readonly type: (inputs: readonly TensorType[], attrs: OpAttrs[N]) => TensorType;
  /** Gradients of the operands (undefined: no gradient). Null for ops without a derivative, which no differentiated graph contains. */
  readonly vjp: ((g: GradientBuilder, context: VjpContext<N>) => readonly (Value | undefined)[]) | null;
  /** Sharding rule; null for collectives, which exist only after partition. */
  readonly factors: ((inputs: readonly TensorType[], output: TensorType, attrs: OpAttrs[N]) => OpFactors) | null;
  /**
   * Sets of operands in which the op is jointly linear. If all operands of a set hold partial sums and no other operand
   * does, the result holds partial sums.
   */
  readonly linearIn: (attrs: OpAttrs[N], arity: number) => readonly (readonly number[])[];
  /** Global attributes → attributes for operands and result of the given dims, which are parts of the arrays. */
  readonly localize: (attrs: OpAttrs[N], inputs: readonly (readonly number[])[], output: readonly number[]) => OpAttrs[N];
  /**
   * Attributes of the op on arrays with one more leading dim of `size`, which all operands and the result have (`inlineBatched`). `axis` is
   * its logical axis. Null for ops that are never batched: those without array operands, regions, collectives.
   */
  readonly batch: ((attrs: OpAttrs[N], leading: { readonly size: number; readonly axis: string | null }) => OpAttrs[N]) | null;
  /** Floating-point operations from operand and result types (a multiply-add is 2). */
  readonly flops: (inputs: readonly TensorType[], output: TensorType, attrs: OpAttrs[N]) => number;
  /** The result on whole arrays, in double precision. Null for `parameter` and collectives. */
  readonly evaluate: ((inputs: readonly Tensor[], attrs: OpAttrs[N], output: TensorType) => Tensor) | null;
}

export const defineOp = <N extends OpName>(def: OpDef<N>): OpDef<N> => def;

/** A table with an entry for every op. */
export type OpTable = { readonly [N in OpName]: OpDef<N> };

/** A table with one entry for each of the names. */
export const tableOf = <N extends string, T>(names: readonly N[], entry: (name: N) => T): Readonly<Record<N, T>> =>
  Object.fromEntries(names.map((name) => [name, entry(name)])) as Record<N, T>;

/** `localize` of ops whose attributes contain no dims. */
export const sameAttrs = <A>(attrs: A): A => attrs;

/** Dims of an array by number, in the array with one more leading dim. */
export const afterLeading = (dims: readonly number[]): number[] => dims.map((d) => d + 1);

/** Factors of an op whose dims correspond one to one: `dims[i]` of the result is `dims[i]` of each operand. */
export function elementwiseFactors(inputs: readonly TensorType[], output: TensorType): OpFactors {
  const map = output.dims.map((_, i) => [i]);
  return { factors: output.dims.map((size) => ({ size, kind: "pass" as const })), inputs: inputs.map(() => map), output: map };
}

/** Linear in no operand: partial sums must be reduced before the op. */
export const notLinear = (): readonly (readonly number[])[] => [];
/** Linear in its first operand alone. */
export const linearInFirst = (): readonly (readonly number[])[] => [[0]];
