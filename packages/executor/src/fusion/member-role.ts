import { sizeOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { NodeId, Plan, PlanNode, PlanNodeOf } from "../plan/plan.js";
import type { FusionGroup, MemberKind, OperandRead } from "./fusion-group.js";
import { rowLength } from "./rearranged.js";
import { isUniform } from "./uniform.js";

/** The kind of a node in a group, and the columns and cuts that it needs. */
export interface Role {
  readonly kind: MemberKind;
  readonly columns: number | undefined;
  readonly cuts: readonly number[];
}

/** Whether a node can be a member: the space of the group has its rows, and the operands can be read along them. */
export function accepts(plan: Plan, group: FusionGroup, node: PlanNode): boolean {
  const role = roleIn(plan, group, node);
  if (role === undefined || (group.columns !== undefined && role.columns !== undefined && role.columns !== group.columns)) return false;
  const columns = group.columns ?? role.columns;
  const isReadable =
    columns === undefined ||
    [...group.reads, ...operandReads(plan, group, node, role.kind)].every(({ held, dims }) => isUniform(held, dims, columns));
  return isReadable && isChain([...group.cuts, ...role.cuts], group.size);
}

/** How a node reads operands that are not members of the group. Reductions and slices read whole operands. */
export function operandReads(plan: Plan, group: FusionGroup, node: PlanNode, kind: MemberKind): OperandRead[] {
  if (kind !== "full" || node.op === "concatenate") return [];
  return node.inputs.filter((id) => isOutside(group, id)).map((id) => ({ held: nodeAt(plan, id).type.dims, dims: node.type.dims }));
}

/** Whether a member reads `id` from memory. An accumulated value is complete only after the pass. */
export const isOutside = (group: FusionGroup, id: NodeId): boolean => !group.kinds.has(id) || group.kinds.get(id) === "accumulated";

/** The role of a node in a group; undefined if it does not fit. */
export function roleIn(plan: Plan, group: FusionGroup, node: PlanNode): Role | undefined {
  switch (node.op) {
    case "reduce":
      return roleOfReduction(plan, group, node);
    case "slice":
      return roleOfSlice(plan, group, node);
    case "concatenate":
      return roleOfConcatenation(group, node);
    case "reshape":
      return roleOfView(group, node);
    default:
      return roleOfFormula(plan, group, node);
  }
}

function roleOfReduction(plan: Plan, group: FusionGroup, node: PlanNodeOf<"reduce">): Role | undefined {
  const input = operandOf(plan, node);
  const kind = group.kinds.get(input.id) ?? (sizeOf(input.type.dims) === group.size ? "full" : undefined);
  if (kind === undefined || kind === "accumulated" || kind === "slice") return undefined;
  const reduced = reductionShape(input.type.dims, node.attrs.dims);
  if (kind === "row")
    return reduced.all || reduced.trailing !== undefined ? { kind: "accumulated", columns: group.columns, cuts: [] } : undefined;
  const cuts = cutsOf(input.type.dims);
  if (reduced.all) return { kind: "accumulated", columns: group.columns, cuts };
  if (reduced.trailing !== undefined) return { kind: "row", columns: reduced.trailing, cuts: [...cuts, reduced.trailing] };
  return reduced.minor === undefined ? undefined : { kind: "accumulated", columns: reduced.minor, cuts: [...cuts, reduced.minor] };
}

function roleOfSlice(plan: Plan, group: FusionGroup, node: PlanNodeOf<"slice">): Role | undefined {
  const source = operandOf(plan, node);
  const kind = group.kinds.get(source.id) ?? "full";
  if (kind !== "full" || sizeOf(source.type.dims) !== group.size) return undefined;
  const columns = rowLength(source);
  return { kind: "slice", columns, cuts: [...cutsOf(source.type.dims), columns] };
}

function roleOfConcatenation(group: FusionGroup, node: PlanNodeOf<"concatenate">): Role | undefined {
  if (!node.inputs.every((id) => group.kinds.get(id) === "slice")) return undefined;
  const columns = rowLength(node);
  return { kind: "full", columns, cuts: [...cutsOf(node.type.dims), columns] };
}

function roleOfView(group: FusionGroup, node: PlanNodeOf<"reshape">): Role | undefined {
  const kind = group.kinds.get(ensure(node.inputs[0], "operand"));
  if (kind === undefined || kind === "accumulated" || kind === "slice") return undefined;
  return { kind, columns: group.columns, cuts: kind === "full" ? cutsOf(node.type.dims) : [] };
}

/** The role of an op that computes each element by a formula. */
function roleOfFormula(plan: Plan, group: FusionGroup, node: PlanNode): Role | undefined {
  const { dims } = node.type;
  const sizeAt = (id: NodeId): number => sizeOf(nodeAt(plan, id).type.dims);
  const inside = node.inputs.filter((id) => !isOutside(group, id));
  const size = sizeOf(dims);
  const rows = group.columns === undefined ? undefined : group.size / group.columns;
  if (inside.length > 0 && inside.every((id) => group.kinds.get(id) === "row") && size === rows) {
    const isReadable = node.inputs.every((id) => inside.includes(id) || sizeAt(id) === 1 || sizeAt(id) === size);
    return isReadable ? { kind: "row", columns: group.columns, cuts: [] } : undefined;
  }
  if (size !== group.size) return undefined;
  let columns = group.columns;
  const cuts = [...cutsOf(dims)];
  for (const id of inside) {
    if (group.kinds.get(id) === "full") {
      if (sizeAt(id) !== size) return undefined;
      continue;
    }
    const spread = trailingOnes(nodeAt(plan, id).type.dims, dims);
    if (spread === undefined || (columns !== undefined && spread !== columns)) return undefined;
    columns = spread;
    cuts.push(spread);
  }
  return { kind: "full", columns, cuts };
}

const nodeAt = (plan: Plan, id: NodeId): PlanNode => ensure(plan.nodes[id], "node");

const operandOf = (plan: Plan, node: PlanNode): PlanNode => nodeAt(plan, ensure(node.inputs[0], "operand"));

/** Products of trailing dims, except 1 and the product of all dims. */
function cutsOf(dims: readonly number[]): number[] {
  const cuts: number[] = [];
  let product = 1;
  for (let d = dims.length - 1; d > 0; d--) {
    product *= dims[d] ?? 1;
    if (product > 1) cuts.push(product);
  }
  return cuts;
}

/** Whether each cut divides the next, and the last divides the size. */
export function isChain(cuts: readonly number[], size: number): boolean {
  const sorted = [...new Set(cuts)].sort((a, b) => a - b);
  return [...sorted, size].every((cut, i) => i === 0 || cut % (sorted[i - 1] ?? 1) === 0);
}

/**
 * The reduced dims: `all`; or the trailing dims, with their product; or consecutive dims, with the product of the more minor dims. Dims of 1 are
 * ignored.
 */
function reductionShape(dims: readonly number[], reduced: readonly number[]): { all: boolean; trailing?: number; minor?: number } {
  const large = dims.map((size, d) => ({ size, d })).filter(({ size }) => size > 1);
  const isReduced = large.map(({ d }) => reduced.includes(d));
  if (isReduced.every((r) => r)) return { all: true };
  const [first, last] = [isReduced.indexOf(true), isReduced.lastIndexOf(true)];
  const product = (list: readonly { size: number }[]): number => list.reduce((n, { size }) => n * size, 1);
  if (first < 0 || !isReduced.slice(first, last + 1).every((r) => r)) return { all: false };
  if (last === large.length - 1) return { all: false, trailing: product(large.slice(first)) };
  return { all: false, minor: product(large.slice(last + 1)) };
}

/** If `held` is `dims` with all dims from some index on replaced by 1: the product of those dims. */
function trailingOnes(held: readonly number[], dims: readonly number[]): number | undefined {
  if (held.length !== dims.length) return undefined;
  let from = dims.length;
  while (from > 0 && (held[from - 1] ?? 0) === 1) from--;
  if (!held.slice(0, from).every((size, d) => size === dims[d])) return undefined;
  return sizeOf(dims.slice(from));
}
