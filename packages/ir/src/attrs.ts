import type { Dtype } from "./types.js";
import type { ReductionKind } from "./sharding.js";

/**
 * The attributes of every op, by name. This map is the list of ops: each table over it (`ops`, the worker's kernels, the
 * exporters) is a mapped type, so that an op without a rule does not compile. `ops/elementwise.ts` adds the attributes of
 * elementwise ops to this interface, next to their definitions.
 *
 * Names and meaning follow StableHLO. Dims in attributes are those of the op's level: global in a graph, local in a
 * per-chip program, block in a host program.
 */
export interface OpAttrs {
  // structure
  parameter: { readonly name: string };
  constant: { readonly value: number; readonly dims: readonly number[]; readonly dtype: Dtype };
  iota: { readonly dims: readonly number[]; readonly dimension: number; readonly dtype: Dtype };
  /**
   * Standard normal numbers times `scale`: element i is a pure function of (key, global index i). With `keys`, the leading dims consist of
   * as many slices, and an element is a pure function of (key of its slice, index in the slice): a stack of arrays with own keys.
   */
  rng_normal: { readonly dims: readonly number[]; readonly key: number; readonly scale: number; readonly keys?: readonly number[] };
  /** Uniform numbers in (0, 1) from a key, an i32 scalar: element i is a pure function of (key, global index i). */
  rng_uniform: { readonly dims: readonly number[] };
  // repeated regions
  /** (initial) → the value that an iteration of a region begins with: `initial` in the first, then the `next` of its yield. */
  carry: Empty;
  /** (carry, next) → `next` of the last iteration, for values after the region. */
  yield: Empty;
  // shape
  broadcast_in_dim: { readonly dims: readonly number[]; readonly broadcastDimensions: readonly number[] };
  reshape: { readonly dims: readonly number[] };
  transpose: { readonly permutation: readonly number[] };
  slice: { readonly start: readonly number[]; readonly limit: readonly number[] };
  /** Zeros around the operand. */
  pad: { readonly low: readonly number[]; readonly high: readonly number[] };
  concatenate: { readonly dimension: number };
  /** (x, start i32 scalar) → `size` elements of `dimension` from `start`, which is clamped so that they are inside x. */
  dynamic_slice: { readonly dimension: number; readonly size: number };
  /** (x, update, start i32 scalar) → x with `update` from `start` along `dimension`; `start` is clamped so that the update is inside x. */
  dynamic_update_slice: { readonly dimension: number };
  /** The operand, at a point where its sharding may change: `logicalAxes` are those of the dims, null for a whole dim. */
  constrain: { readonly logicalAxes: readonly (string | null)[] };
  /** Running sums along `dimension`: of the elements up to each, or with `reverse` of those from each. */
  cumsum: { readonly dimension: number; readonly reverse: boolean };
  /** Row i of the result is row i − `by` of `dimension`. A row from outside is zero; with `wrap` it is that of the other end. */
  shift: ShiftAttrs;
  /** (x [from, by, …]) → [by, …]: at place s of dim `by` the slice `table[s]` of dim `from`, for dims in any position. */
  pick: { readonly from: number; readonly by: number; readonly table: readonly number[] };
  // contraction
  reduce: { readonly dims: readonly number[]; readonly kind: ReductionKind };
  dot_general: { readonly batch: readonly DimPair[]; readonly contracting: readonly DimPair[] };
  /**
   * Matmuls of groups of rows (JAX `ragged_dot`): (rows [lead, N, I], matrices [shared, G, O, I], sizes i32 [lead, G]) → [lead, N, O]. The
   * first sizes[0] of the N rows use matrix 0, the next sizes[1] rows use matrix 1, and so on; later rows are zero.
   */
  ragged_dot: RaggedAttrs & { /** Matrices are [I, O]. */ readonly transposed: boolean };
  /** (rows [lead, N, A], rows [lead, N, B], sizes i32 [lead, G]) → [shared, G, B, A]: the sums over the rows of each group of b · aᵀ. */
  ragged_contract: RaggedAttrs;
  /**
   * Rows of a table: (table [V, …], ids […]) → [ids…, …]. The row of an id outside the table is zero. On a shard of the table, rows of
   * other shards are zero. `batch`, 0 by default, leading dims are those of both operands: (table [B, V, …], ids [B, …]) → [B, ids…, …].
   */
  gather: RowAttrs;
  /**
   * Adjoint of gather: (ids […], updates [ids…, …]) → [V, …], rows of equal ids summed. An id outside the table is dropped. On a shard,
   * rows of other shards are dropped. With `batch`: (ids [B, …], updates [B, ids…, …]) → [B, V, …].
   */
  scatter: RowAttrs & { readonly rows: number };
  // collectives: per-chip programs only
  all_gather: CollectiveAttrs & { readonly dimension: number };
  reduce_scatter: CollectiveAttrs & { readonly dimension: number; readonly kind: ReductionKind };
  all_reduce: CollectiveAttrs & { readonly kind: ReductionKind };
  /** Splits `splitDimension` over the axes and gathers `concatDimension`. */
  all_to_all: CollectiveAttrs & { readonly splitDimension: number; readonly concatDimension: number };
  /** The shift of a dim that the axes split: each chip sends the rows that cross the edge of its part. */
  collective_permute: CollectiveAttrs & ShiftAttrs;
  /** The part of a replicated dim that belongs to this chip: no communication. */
  shard_slice: CollectiveAttrs & { readonly dimension: number };
}

interface ShiftAttrs {
  readonly dimension: number;
  readonly by: number;
  readonly wrap: boolean;
}

interface RaggedAttrs {
  /** Leading dims of the rows that the matrices have too, in the order of the matrices. */
  readonly shared: readonly number[];
  /** The share of the rows that is expected to have a group: only such rows are computed. Values do not depend on it; costs do. */
  readonly filled: number;
}

/** Leading dims that a table and its ids share; 0 if absent. */
interface RowAttrs {
  readonly batch?: number;
}

export type Empty = Readonly<Record<never, never>>;
export type CompareDirection = "EQ" | "NE" | "LT" | "LE" | "GT" | "GE";
/** Dim of the left and of the right operand. */
export type DimPair = readonly [number, number];

export interface CollectiveAttrs {
  /** Axes or sub-axes, major to minor, as `printAtoms` writes them. */
  readonly axes: readonly string[];
  /** Chips in a group: the product of the axes. */
  readonly size: number;
}

export type OpName = keyof OpAttrs;
export type CollectiveName = "all_gather" | "reduce_scatter" | "all_reduce" | "all_to_all" | "collective_permute" | "shard_slice";
/** Ops of every level. Collectives appear only in per-chip programs and host programs. */
export type LocalOpName = Exclude<OpName, CollectiveName>;
