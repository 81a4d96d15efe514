import { ops, sizeOf } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";
import { type RowPart, findRearranged, rowLength } from "./rearranged.js";
import { isUniform } from "./uniform.js";

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
  /** Places of the space. */
  readonly size: number;
  /** Numbers a row; absent while no member asks for one. */
  columns: number | undefined;
  /** In the order of the plan. */
  readonly members: NodeId[];
  readonly kinds: Map<NodeId, MemberKind>;
  /** Products of trailing dims that some member's dims show, each a divisor of the next: where rows may be cut. */
  cuts: number[];
  /** How full members read their operands from outside: each must be uniform over a row. */
  readonly readings: Reading[];
  /** By member that puts rows together: what from where. */
  readonly rearranged: ReadonlyMap<NodeId, readonly RowPart[]>;
}

/** An operand's dims, 1 where it repeats, and the dims under which it is read. */
export interface Reading {
  readonly held: readonly number[];
  readonly dims: readonly number[];
}

export type MemberKind = "full" | "row" | "late" | "part";

/**
 * Finds groups greedily, in the order of the plan: a node joins the groups of its operands where the space fits and no path leads out of the group
 * and back into it; groups that meet in a node are merged under the same conditions.
 *
 * @param isOutput nodes that must exist as tensors of their own dtype
 */
export function findGroups(plan: Plan, isOutput: ReadonlySet<NodeId>): FusionGroup[] {
  const groups: (FusionGroup | undefined)[] = [];
  const groupOf = new Map<NodeId, number>();
  /** By node of no group: the groups that its ancestors lead to first. */
  const reached: Set<number>[] = [];
  /** By group: the groups that operands of its members lead to first. Read through `currentGroup`. */
  const needs: Set<number>[] = [];
  const mergedInto = new Map<number, number>();
  const nodeAt = (id: NodeId): PlanNode => must(plan.nodes[id], "node");
  const { rows: rearranged, slices } = findRearranged(plan);
  const usersOf: NodeId[][] = plan.nodes.map(() => []);
  for (const { id, inputs } of plan.nodes) for (const input of inputs) usersOf[input]?.push(id);

  for (const node of plan.nodes) {
    reached[node.id] = new Set(node.inputs.flatMap((id) => [...groupsBehind(id)]));
    if (!isFusible(node, nodeAt) && !rearranged.has(node.id) && !slices.has(node.id)) continue;
    // Slices of one value meet in what puts them together: they are in one group from the start.
    const siblings = slices.has(node.id) ? (usersOf[must(node.inputs[0], "operand")] ?? []).filter((id) => slices.has(id)) : [];
    const asked = [...new Set([...node.inputs, ...siblings].flatMap((id) => groupOf.get(id) ?? []))];
    let home: FusionGroup | undefined;
    for (const id of asked) {
      const group = must(groups[id], "group");
      if (!accepts(group, node)) continue;
      if (home === undefined) {
        if (leadsBack(node.inputs, group)) continue;
        home = group;
      } else {
        const merged = merge(home, group, node);
        if (merged !== undefined) home = merged;
      }
    }
    if (home === undefined) home = startGroup(node);
    if (home !== undefined) join(home, node);
  }
  // A lone op gains nothing.
  return groups.filter(
    (group): group is FusionGroup =>
      group !== undefined && group.members.filter((id) => nodeAt(id).op !== "reshape").length > 1 && isWritable(group),
  );

  function startGroup(node: PlanNode): FusionGroup | undefined {
    if (node.op === "reshape") return undefined;
    const dims = node.op === "reduce" || node.op === "slice" ? nodeAt(must(node.inputs[0], "operand")).type.dims : node.type.dims;
    const group: FusionGroup = {
      id: groups.length,
      size: sizeOf(dims),
      columns: undefined,
      members: [],
      kinds: new Map(),
      cuts: [],
      readings: [],
      rearranged,
    };
    if (group.size < 2 || !accepts(group, node)) return undefined;
    groups.push(group);
    needs.push(new Set());
    return group;
  }

  /** What a node would be in a group, and the columns it asks for; undefined where it does not fit. */
  function roleIn(
    group: FusionGroup,
    node: PlanNode,
  ): { kind: MemberKind; columns: number | undefined; cuts: readonly number[] } | undefined {
    const kindOf = (id: NodeId): MemberKind | undefined => group.kinds.get(id);
    const { dims } = node.type;
    if (node.op === "reduce") {
      const input = nodeAt(must(node.inputs[0], "operand"));
      const kind = kindOf(input.id) ?? (sizeOf(input.type.dims) === group.size ? "full" : undefined);
      if (kind === undefined || kind === "late" || kind === "part") return undefined;
      const reduced = reductionShape(input.type.dims, node.attrs.dims);
      if (kind === "row")
        return reduced.all || reduced.trailing !== undefined ? { kind: "late", columns: group.columns, cuts: [] } : undefined;
      const cuts = cutsOf(input.type.dims);
      if (reduced.all) return { kind: "late", columns: group.columns, cuts };
      if (reduced.trailing !== undefined) return { kind: "row", columns: reduced.trailing, cuts: [...cuts, reduced.trailing] };
      return reduced.behind === undefined ? undefined : { kind: "late", columns: reduced.behind, cuts: [...cuts, reduced.behind] };
    }
    if (node.op === "slice") {
      const source = nodeAt(must(node.inputs[0], "operand"));
      const kind = kindOf(source.id) ?? "full";
      const columns = rowLength(source);
      return kind !== "full" || sizeOf(source.type.dims) !== group.size
        ? undefined
        : { kind: "part", columns, cuts: [...cutsOf(source.type.dims), columns] };
    }
    if (node.op === "concatenate") {
      const columns = rowLength(node);
      return node.inputs.every((id) => kindOf(id) === "part") ? { kind: "full", columns, cuts: [...cutsOf(dims), columns] } : undefined;
    }
    if (node.op === "reshape") {
      const kind = kindOf(must(node.inputs[0], "operand"));
      return kind === undefined || kind === "late" || kind === "part"
        ? undefined
        : { kind, columns: group.columns, cuts: kind === "full" ? cutsOf(dims) : [] };
    }
    const inside = node.inputs.filter((id) => kindOf(id) !== undefined && kindOf(id) !== "late");
    const size = sizeOf(dims);
    const rows = group.columns === undefined ? undefined : group.size / group.columns;
    const isRow = inside.length > 0 && inside.every((id) => kindOf(id) === "row") && size === rows;
    if (isRow)
      return node.inputs.every((id) => inside.includes(id) || sizeOf(nodeAt(id).type.dims) === 1 || sizeOf(nodeAt(id).type.dims) === size)
        ? { kind: "row", columns: group.columns, cuts: [] }
        : undefined;
    if (size !== group.size) return undefined;
    let columns = group.columns;
    const cuts = [...cutsOf(dims)];
    for (const id of inside) {
      if (kindOf(id) === "full") {
        if (sizeOf(nodeAt(id).type.dims) !== size) return undefined;
        continue;
      }
      const spread = trailingOnes(nodeAt(id).type.dims, dims);
      if (spread === undefined || (columns !== undefined && spread !== columns)) return undefined;
      columns = spread;
      cuts.push(spread);
    }
    return { kind: "full", columns, cuts };
  }

  function accepts(group: FusionGroup, node: PlanNode): boolean {
    const found = roleIn(group, node);
    if (found === undefined || (group.columns !== undefined && found.columns !== undefined && found.columns !== group.columns))
      return false;
    const columns = group.columns ?? found.columns;
    const isReadable =
      columns === undefined ||
      [...group.readings, ...readingsOf(group, node, found.kind)].every(({ held, dims }) => isUniform(held, dims, columns));
    return isReadable && isChain([...group.cuts, ...found.cuts], group.size);
  }

  /** How a node reads operands that are not members of the group. Reductions and slices read whole operands. */
  function readingsOf(group: FusionGroup, node: PlanNode, kind: MemberKind): Reading[] {
    if (kind !== "full" || node.op === "concatenate") return [];
    return node.inputs
      .filter((id) => !group.kinds.has(id) || group.kinds.get(id) === "late")
      .map((id) => ({ held: nodeAt(id).type.dims, dims: node.type.dims }));
  }

  function join(group: FusionGroup, node: PlanNode): void {
    const { kind, columns, cuts } = must(roleIn(group, node), "role");
    group.readings.push(...readingsOf(group, node, kind));
    group.columns ??= columns;
    group.cuts = [...new Set([...group.cuts, ...cuts])].sort((a, b) => a - b);
    group.kinds.set(node.id, kind);
    group.members.push(node.id);
    groupOf.set(node.id, group.id);
    for (const id of node.inputs) if (!group.kinds.has(id)) for (const behind of groupsBehind(id)) needs[group.id]?.add(behind);
  }

  /** The union of two groups that a node joins, where they have one space and neither feeds the other through the outside. */
  function merge(a: FusionGroup, b: FusionGroup, node: PlanNode): FusionGroup | undefined {
    if (
      a.size !== b.size ||
      (a.columns !== undefined && b.columns !== undefined && a.columns !== b.columns) ||
      !isChain([...a.cuts, ...b.cuts], a.size)
    )
      return undefined;
    const union: FusionGroup = {
      ...a,
      columns: a.columns ?? b.columns,
      members: [...a.members, ...b.members].sort((x, y) => x - y),
      kinds: new Map([...a.kinds, ...b.kinds]),
      cuts: [...new Set([...a.cuts, ...b.cuts])].sort((x, y) => x - y),
      readings: [...a.readings, ...b.readings],
    };
    if (!accepts(union, node)) return undefined;
    const entering = [...union.members.flatMap((id) => nodeAt(id).inputs), ...node.inputs].filter(
      (id) => !union.kinds.has(id) || union.kinds.get(id) === "late",
    );
    if (reaches(entering, new Set([a.id, b.id]))) return undefined;
    groups[b.id] = undefined;
    groups[a.id] = union;
    for (const id of b.members) groupOf.set(id, a.id);
    mergedInto.set(b.id, a.id);
    for (const id of needs[b.id] ?? []) needs[a.id]?.add(id);
    return union;
  }

  /** Whether a node's operands from outside the group depend on the group: then the node cannot be computed in one pass with it. */
  function leadsBack(inputs: readonly NodeId[], group: FusionGroup): boolean {
    return reaches(
      inputs.filter((id) => !group.kinds.has(id) || group.kinds.get(id) === "late"),
      new Set([group.id]),
    );
  }

  /** Whether some of the target groups is among the ancestors of `from`: a group is computed as a whole, so that it needs what any member needs. */
  function reaches(from: readonly NodeId[], targets: ReadonlySet<number>): boolean {
    const seen = new Set<number>();
    const open = from.flatMap((id) => [...groupsBehind(id)]);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const id = currentGroup(next);
      if (targets.has(id)) return true;
      if (seen.has(id)) continue;
      seen.add(id);
      open.push(...(needs[id] ?? []));
    }
    return false;
  }

  /** The group of a node, or those that it reaches through nodes of no group. */
  function groupsBehind(id: NodeId): ReadonlySet<number> {
    const own = groupOf.get(id);
    return own === undefined ? must(reached[id], "groups behind a node") : new Set([own]);
  }

  function currentGroup(id: number): number {
    let at = id;
    for (let next = mergedInto.get(at); next !== undefined; next = mergedInto.get(at)) at = next;
    return at;
  }

  /** Every member that the outside uses must be something that the pass can write: floats, of whole rows. */
  function isWritable(group: FusionGroup): boolean {
    const isUsedOutside = (id: NodeId): boolean => isOutput.has(id) || (usersOf[id] ?? []).some((user) => !group.kinds.has(user));
    return group.members.every((id) => (nodeAt(id).type.dtype === "f32" && group.kinds.get(id) !== "part") || !isUsedOutside(id));
  }
}

/** Whether the fused kernel can compute a node by itself. Slices and concatenations are found as rows that are put together. */
function isFusible(node: PlanNode, nodeAt: (id: NodeId) => PlanNode): boolean {
  if (node.constant) return false;
  const isFloat = node.type.dtype === "f32";
  const types = node.inputs.map((id) => nodeAt(id).type.dtype);
  switch (ops[node.op].fusible) {
    case "unary":
    case "binary":
    case "compare":
      return isFloat || (node.type.dtype === "pred" && types.every((t) => t === "f32" || t === "i32" || t === "pred"));
    case "select":
    case "view":
    case "reduce":
      return isFloat;
    case "convert":
      return isFloat && types[0] === "pred";
    case "slice":
    case "concatenate":
    case "none":
      return false;
  }
}

/** Products of trailing dims, without 1 and without the whole. */
function cutsOf(dims: readonly number[]): number[] {
  const cuts: number[] = [];
  let product = 1;
  for (let d = dims.length - 1; d > 0; d--) {
    product *= dims[d] ?? 1;
    if (product > 1) cuts.push(product);
  }
  return cuts;
}

/** Whether each cut divides the next, and the last the whole. */
function isChain(cuts: readonly number[], size: number): boolean {
  const sorted = [...new Set(cuts)].sort((a, b) => a - b);
  return [...sorted, size].every((cut, i) => i === 0 || cut % (sorted[i - 1] ?? 1) === 0);
}

/**
 * Which dims are reduced: all, the trailing ones (their product), or neighbours with some behind them (the product of those behind). Dims of 1 do not
 * matter.
 */
function reductionShape(dims: readonly number[], reduced: readonly number[]): { all: boolean; trailing?: number; behind?: number } {
  const large = dims.map((size, d) => ({ size, d })).filter(({ size }) => size > 1);
  const isReduced = large.map(({ d }) => reduced.includes(d));
  if (isReduced.every((r) => r)) return { all: true };
  const [first, last] = [isReduced.indexOf(true), isReduced.lastIndexOf(true)];
  const product = (list: readonly { size: number }[]): number => list.reduce((n, { size }) => n * size, 1);
  if (first < 0 || !isReduced.slice(first, last + 1).every((r) => r)) return { all: false };
  if (last === large.length - 1) return { all: false, trailing: product(large.slice(first)) };
  return { all: false, behind: product(large.slice(last + 1)) };
}

/** If `held` is `dims` with all dims from some place on replaced by 1: the product of those dims. */
function trailingOnes(held: readonly number[], dims: readonly number[]): number | undefined {
  if (held.length !== dims.length) return undefined;
  let from = dims.length;
  while (from > 0 && (held[from - 1] ?? 0) === 1) from--;
  if (!held.slice(0, from).every((size, d) => size === dims[d])) return undefined;
  return sizeOf(dims.slice(from));
}
