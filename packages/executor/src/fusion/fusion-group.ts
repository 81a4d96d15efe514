import type { NodeId } from "../plan/plan.js";
import type { RowPart } from "./rearranged.js";

/**
 * A chain of memory-bound nodes that one pass over memory computes: elementwise ops, views and reductions over one **space** of rows × columns.
 *
 *     full          one number for each element of the space: scores, exponentials, gradients of activations
 *     row           one number for each row: a reduction over columns, and values computed from it
 *     accumulated   a reduction over consecutive rows or all rows. It is complete after its last row, so no member reads it
 *     slice         a slice of rows. Only members that rearrange the rows of one value read it
 *
 * Values are compared by their order in memory, not by their dims: [B, T, H·E] and [B, T, H, E] are equal.
 */
export interface FusionGroup {
  readonly id: number;
  /** Elements of the space. */
  readonly size: number;
  /** Length of a row. Undefined as long as no member requires one. */
  columns: number | undefined;
  /** In the order of the plan. */
  readonly members: NodeId[];
  readonly kinds: Map<NodeId, MemberKind>;
  /** Possible lengths of a row: products of trailing dims of members. Each divides the next. */
  cuts: number[];
  /** Operands from outside that full members read. Each must be uniform over a row. */
  readonly reads: OperandRead[];
  /** By member that rearranges rows: the parts of a row that it moves. */
  readonly rearranged: ReadonlyMap<NodeId, readonly RowPart[]>;
}

/** The dims of an operand (1 where it repeats), and the dims in which the member reads it. */
export interface OperandRead {
  readonly held: readonly number[];
  readonly dims: readonly number[];
}

export type MemberKind = "full" | "row" | "accumulated" | "slice";
