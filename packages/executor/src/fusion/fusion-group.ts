import type { NodeId } from "../plan/plan.js";
import type { RowPart } from "./rearranged.js";

/**
 * Chains of memory-bound nodes that one pass over memory can compute: elementwise ops, views and reductions over one **space** of rows × columns.
 *
 *     full   one number for each place of the space       scores, exponentials, gradients of activations
 *     row    one number a row: a reduction over columns, and what follows from it until it meets full values again
 *     late   a reduction over rows, over some that follow one another, or over all: known when its last row is done, so that its users stand outside
 *     part   a slice of rows, which only such members read as put rows together from parts of one value
 *
 * Values are compared by their order in memory, not by their dims: [B, T, H·E] and [B, T, H, E] are one.
 */
export interface FusionGroup {
  readonly id: number;
  /** Elements of the space. */
  readonly size: number;
  /** Numbers a row; absent while no member asks for one. */
  columns: number | undefined;
  /** In the order of the plan. */
  readonly members: NodeId[];
  readonly kinds: Map<NodeId, MemberKind>;
  /** Products of trailing dims that some member's dims show, each a divisor of the next: where rows may be cut. */
  cuts: number[];
  /** How full members read their operands from outside: each must be uniform over a row. */
  readonly readings: OperandRead[];
  /** By member that puts rows together: what from where. */
  readonly rearranged: ReadonlyMap<NodeId, readonly RowPart[]>;
}

/** An operand's dims, 1 where it repeats, and the dims under which it is read. */
export interface OperandRead {
  readonly held: readonly number[];
  readonly dims: readonly number[];
}

export type MemberKind = "full" | "row" | "late" | "part";
