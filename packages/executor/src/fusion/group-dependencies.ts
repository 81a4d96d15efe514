import { ensure } from "@lapidary/std";
import type { NodeId, PlanNode } from "../plan/plan.js";

/** Index of a group. */
export type GroupId = number;

/** The dependencies between groups. The pass over memory that computes a group must not need its own results. */
export class GroupDependencies {
  readonly #groupOf = new Map<NodeId, GroupId>();
  /** By node: the groups that paths from the node to its ancestors reach first. Used for nodes outside of all groups. */
  readonly #reached: ReadonlySet<GroupId>[] = [];
  /** By group: the groups that paths from operands of its members reach first. Read through `#current`. */
  readonly #needs: Set<GroupId>[] = [];
  readonly #mergedInto = new Map<GroupId, GroupId>();

  /** Nodes must be added in the order of the plan. */
  addNode({ id, inputs }: PlanNode): void {
    this.#reached[id] = new Set(inputs.flatMap((input) => [...this.#groupsBefore(input)]));
  }

  addGroup(): GroupId {
    return this.#needs.push(new Set()) - 1;
  }

  groupOf(id: NodeId): GroupId | undefined {
    return this.#groupOf.get(id);
  }

  /** @param operands those that are not members */
  join(group: GroupId, id: NodeId, operands: readonly NodeId[]): void {
    this.#groupOf.set(id, group);
    for (const operand of operands) for (const before of this.#groupsBefore(operand)) this.#needs[group]?.add(before);
  }

  /** @param members of the group `from` */
  merge(from: GroupId, into: GroupId, members: readonly NodeId[]): void {
    for (const id of members) this.#groupOf.set(id, into);
    this.#mergedInto.set(from, into);
    for (const id of this.#needs[from] ?? []) this.#needs[into]?.add(id);
  }

  /** Whether a target group is among the ancestors of `from`. A group is computed as a whole, so that it needs what any member needs. */
  reaches(from: readonly NodeId[], targets: ReadonlySet<GroupId>): boolean {
    const seen = new Set<GroupId>();
    const open = from.flatMap((id) => [...this.#groupsBefore(id)]);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const id = this.#current(next);
      if (targets.has(id)) return true;
      if (seen.has(id)) continue;
      seen.add(id);
      open.push(...(this.#needs[id] ?? []));
    }
    return false;
  }

  /** The group of a node, or the groups that it reaches through nodes outside of all groups. */
  #groupsBefore(id: NodeId): ReadonlySet<GroupId> {
    const own = this.#groupOf.get(id);
    return own === undefined ? ensure(this.#reached[id], "groups before a node") : new Set([own]);
  }

  #current(id: GroupId): GroupId {
    let at = id;
    for (let next = this.#mergedInto.get(at); next !== undefined; next = this.#mergedInto.get(at)) at = next;
    return at;
  }
}
