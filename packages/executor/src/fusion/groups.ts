import { ops, sizeOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { segmentsOf } from "../plan/loops.js";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";
import type { FusionGroup } from "./fusion-group.js";
import { GroupDependencies, type GroupId } from "./group-dependencies.js";
import { accepts, isChain, isOutside, operandReads, roleIn } from "./member-role.js";
import { type RowPart, findRearranged } from "./rearranged.js";

/**
 * Finds groups greedily, in the order of the plan. A node joins the group of an operand if it fits into the space and no path leads out of the group
 * and back into it. Groups that meet in a node are merged under the same conditions.
 *
 * @param isOutput nodes that must exist as tensors with their dtype
 */
export function findGroups(plan: Plan, isOutput: ReadonlySet<NodeId>): FusionGroup[] {
  return new GroupFinder(plan, isOutput).find();
}

class GroupFinder {
  readonly #plan: Plan;
  readonly #isOutput: ReadonlySet<NodeId>;
  readonly #rearranged: ReadonlyMap<NodeId, readonly RowPart[]>;
  /** Slices that only rearranging members read. */
  readonly #slices: ReadonlySet<NodeId>;
  readonly #users: readonly NodeId[][];
  /** By group. Undefined if it was merged into another group. */
  readonly #groups: (FusionGroup | undefined)[] = [];
  readonly #dependencies = new GroupDependencies();
  readonly #segments: readonly number[];

  constructor(plan: Plan, isOutput: ReadonlySet<NodeId>) {
    this.#plan = plan;
    this.#isOutput = isOutput;
    this.#segments = segmentsOf(plan);
    const { rows, slices } = findRearranged(plan);
    this.#rearranged = rows;
    this.#slices = slices;
    const users: NodeId[][] = plan.nodes.map(() => []);
    for (const { id, inputs } of plan.nodes) for (const input of inputs) users[input]?.push(id);
    this.#users = users;
  }

  find(): FusionGroup[] {
    for (const node of this.#plan.nodes) {
      this.#dependencies.addNode(node);
      const canJoin = isFusible(this.#plan, node) || this.#rearranged.has(node.id) || this.#slices.has(node.id);
      if (canJoin && !(this.#plan.fewRows && this.#mustBeWritten(node))) this.#assign(node);
    }
    // Fusing a single op gains nothing, except in a sequence, whose kernels are native.
    const fewest = this.#plan.fewRows ? 1 : 2;
    const isWorthFusing = ({ members }: FusionGroup): boolean => members.filter((id) => this.#node(id).op !== "reshape").length >= fewest;
    return this.#groups.filter((group): group is FusionGroup => group !== undefined && isWorthFusing(group) && this.#isWritable(group));
  }

  /** Whether a node outside of all groups reads a predicate, which groups do not write. A group with it would be lost. */
  #mustBeWritten({ id, type }: PlanNode): boolean {
    if (type.dtype !== "pred") return false;
    return this.#isOutput.has(id) || (this.#users[id] ?? []).some((user) => !isFusible(this.#plan, this.#node(user)));
  }

  /** Adds a node to the group of an operand, merged with the groups of its other operands, or else to a new group. */
  #assign(node: PlanNode): void {
    let home: FusionGroup | undefined;
    for (const id of this.#candidates(node)) {
      const group = ensure(this.#groups[id], "group");
      if (!this.#isOfPart(group, node) || !accepts(this.#plan, group, node)) continue;
      if (home !== undefined) home = this.#merge(home, group, node) ?? home;
      else if (!this.#leadsBack(node.inputs, group)) home = group;
    }
    home ??= this.#startGroup(node);
    if (home !== undefined) this.#join(home, node);
  }

  /** One pass over two chunks of the loss would keep the arrays of both. One pass cannot compute nodes on both sides of the border of a region. */
  #isOfPart({ members: [first] }: FusionGroup, { id, value }: PlanNode): boolean {
    if (first === undefined) return true;
    return this.#node(first).value.scope.chunk === value.scope.chunk && this.#segments[first] === this.#segments[id];
  }

  #candidates({ id, inputs }: PlanNode): GroupId[] {
    // One node joins all slices of one value, so that they are in one group from the start.
    const siblings = this.#slices.has(id) ? (this.#users[ensure(inputs[0], "operand")] ?? []).filter((user) => this.#slices.has(user)) : [];
    return [...new Set([...inputs, ...siblings].flatMap((each) => this.#dependencies.groupOf(each) ?? []))];
  }

  #startGroup(node: PlanNode): FusionGroup | undefined {
    if (node.op === "reshape") return undefined;
    const isOfOperand = node.op === "reduce" || node.op === "slice";
    const { dims } = isOfOperand ? this.#node(ensure(node.inputs[0], "operand")).type : node.type;
    const group: FusionGroup = {
      id: this.#groups.length,
      size: sizeOf(dims),
      columns: undefined,
      members: [],
      kinds: new Map(),
      cuts: [],
      reads: [],
      rearranged: this.#rearranged,
    };
    if (group.size < 2 || !accepts(this.#plan, group, node)) return undefined;
    this.#groups.push(group);
    this.#dependencies.addGroup();
    return group;
  }

  #join(group: FusionGroup, node: PlanNode): void {
    const { kind, columns, cuts } = ensure(roleIn(this.#plan, group, node), "role");
    group.reads.push(...operandReads(this.#plan, group, node, kind));
    group.columns ??= columns;
    group.cuts = ascending([...group.cuts, ...cuts]);
    group.kinds.set(node.id, kind);
    group.members.push(node.id);
    this.#dependencies.join(
      group.id,
      node.id,
      node.inputs.filter((id) => !group.kinds.has(id)),
    );
  }

  /** The union of two groups that a node joins. Undefined if their spaces differ, or if one needs the other through nodes outside of both. */
  #merge(a: FusionGroup, b: FusionGroup, node: PlanNode): FusionGroup | undefined {
    const haveOneSpace = a.size === b.size && (a.columns === undefined || b.columns === undefined || a.columns === b.columns);
    if (!haveOneSpace || !isChain([...a.cuts, ...b.cuts], a.size)) return undefined;
    const union: FusionGroup = {
      ...a,
      columns: a.columns ?? b.columns,
      members: [...a.members, ...b.members].sort((x, y) => x - y),
      kinds: new Map([...a.kinds, ...b.kinds]),
      cuts: ascending([...a.cuts, ...b.cuts]),
      reads: [...a.reads, ...b.reads],
    };
    if (!accepts(this.#plan, union, node)) return undefined;
    const operands = [...union.members.flatMap((id) => this.#node(id).inputs), ...node.inputs].filter((id) => isOutside(union, id));
    if (this.#dependencies.reaches(operands, new Set([a.id, b.id]))) return undefined;
    this.#groups[b.id] = undefined;
    this.#groups[a.id] = union;
    this.#dependencies.merge(b.id, a.id, b.members);
    return union;
  }

  /** Whether a node's operands from outside the group depend on the group. If they do, one pass cannot compute the node with the group. */
  #leadsBack(inputs: readonly NodeId[], group: FusionGroup): boolean {
    return this.#dependencies.reaches(
      inputs.filter((id) => isOutside(group, id)),
      new Set([group.id]),
    );
  }

  /** Whether the pass can write every member that other nodes use. It writes only floats, and only whole rows. */
  #isWritable(group: FusionGroup): boolean {
    const isUsedOutside = (id: NodeId): boolean => this.#isOutput.has(id) || (this.#users[id] ?? []).some((user) => !group.kinds.has(user));
    return group.members.every((id) => (this.#node(id).type.dtype === "f32" && group.kinds.get(id) !== "slice") || !isUsedOutside(id));
  }

  #node(id: NodeId): PlanNode {
    return ensure(this.#plan.nodes[id], "node");
  }
}

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);

/** Whether the fused kernel can compute a node alone. `findRearranged` finds slices and concatenations. */
function isFusible(plan: Plan, node: PlanNode): boolean {
  if (node.constant) return false;
  const isFloat = node.type.dtype === "f32";
  const types = node.inputs.map((id) => ensure(plan.nodes[id], "operand").type.dtype);
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
