import { ensure } from "@lapidary/std";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";
import { type FusedCall, encodeGroup, rootOf } from "./encode.js";
import type { FusionGroup } from "./fusion-group.js";
import { findGroups } from "./groups.js";

/** An item of a worker's schedule: one node, or a group of nodes that one call computes. */
export type PlanItem = { readonly kind: "node"; readonly node: PlanNode } | { readonly kind: "group"; readonly call: FusedCall };

/** One item for each node of a plan. */
export const unfusedItems = (plan: Plan): PlanItem[] => plan.nodes.map((node) => ({ kind: "node", node }));

/**
 * The items of a plan with fused chains of memory-bound nodes. A group is placed before its first use, at the latest at its last member. A view that
 * other nodes use stays a separate node after the group, so that it needs no copy.
 */
export function fusedItems(plan: Plan): PlanItem[] {
  const nodeAt = (id: NodeId): PlanNode => ensure(plan.nodes[id], "node");
  const groups = findGroups(plan, new Set(plan.outputs.map(({ node }) => node)));
  const groupOf = new Map<NodeId, FusionGroup>();
  for (const group of groups) for (const id of group.members) groupOf.set(id, group);
  const usedOutside = findUsedOutside(plan, groupOf);

  const items: PlanItem[] = [];
  const writtenBy = new Map<FusionGroup, ReadonlySet<NodeId>>();
  const done = new Set<NodeId>();
  const emit = (id: NodeId): void => {
    if (done.has(id)) return;
    const group = groupOf.get(id);
    if (group !== undefined) return emitGroup(group);
    done.add(id);
    const node = nodeAt(id);
    node.inputs.forEach(emit);
    items.push({ kind: "node", node });
  };
  const emitGroup = (group: FusionGroup): void => {
    for (const id of group.members) done.add(id);
    for (const id of group.members) for (const input of nodeAt(id).inputs) if (groupOf.get(input) !== group) emit(rootOf(plan, input));
    const { written, views } = usedOutside(group);
    writtenBy.set(group, written);
    items.push({ kind: "group", call: encodeGroup(plan, group, written) });
    for (const id of group.members) if (views.has(id)) items.push({ kind: "node", node: nodeAt(id) });
  };
  for (const node of plan.nodes) {
    const group = groupOf.get(node.id);
    if (group === undefined || group.members.at(-1) === node.id) emit(node.id);
  }
  const needed = withoutUnusedViews(plan, items);
  const writtenAs = soleViews(plan, needed);
  return needed
    .filter((item) => item.kind === "group" || !writtenAs.has(item.node.inputs[0] ?? -1) || item.node.op !== "reshape")
    .map((item) =>
      item.kind === "node" || ![...item.call.inputs, ...item.call.outputs].some((id) => writtenAs.has(id))
        ? item
        : { kind: "group", call: encodeGroup(plan, item.call.group, writtenBy.get(item.call.group) ?? new Set(), writtenAs) },
    );
}

/** By result of a group: the view that is written instead, if other nodes use the result only through that view. */
function soleViews(plan: Plan, items: readonly PlanItem[]): Map<NodeId, NodeId> {
  const outputs = new Set(plan.outputs.map(({ node }) => node));
  const views = new Map<NodeId, NodeId[]>();
  const otherwise = new Set<NodeId>(outputs);
  for (const item of items)
    if (item.kind === "node")
      for (const id of item.node.inputs)
        if (item.node.op === "reshape") views.set(id, [...(views.get(id) ?? []), item.node.id]);
        else otherwise.add(id);
  const writtenAs = new Map<NodeId, NodeId>();
  for (const item of items)
    if (item.kind === "group")
      for (const id of item.call.outputs) {
        const [view, ...others] = views.get(id) ?? [];
        if (view !== undefined && others.length === 0 && !otherwise.has(id)) writtenAs.set(id, view);
      }
  return writtenAs;
}

/** Views that only groups read are not needed: groups read through them. */
function withoutUnusedViews(plan: Plan, items: readonly PlanItem[]): PlanItem[] {
  const used = new Set(plan.outputs.map(({ node }) => node));
  return items
    .toReversed()
    .filter((item) => {
      if (item.kind === "node" && item.node.op === "reshape" && !used.has(item.node.id)) return false;
      for (const id of item.kind === "node" ? item.node.inputs : item.call.inputs) used.add(id);
      return true;
    })
    .toReversed();
}

/** By group: the members that must be written, and the views of them that other nodes read. */
function findUsedOutside(
  plan: Plan,
  groupOf: ReadonlyMap<NodeId, FusionGroup>,
): (group: FusionGroup) => { written: Set<NodeId>; views: Set<NodeId> } {
  const used = new Map<FusionGroup, Set<NodeId>>();
  const use = (id: NodeId, by: FusionGroup | undefined): void => {
    const group = groupOf.get(id);
    if (group === undefined || group === by) return;
    used.set(group, (used.get(group) ?? new Set()).add(id));
  };
  for (const node of plan.nodes) for (const id of node.inputs) use(id, groupOf.get(node.id));
  for (const { node } of plan.outputs) use(node, undefined);
  return (group) => {
    const written = new Set<NodeId>();
    const views = new Set<NodeId>();
    const visit = (id: NodeId): void => {
      const node = ensure(plan.nodes[id], "node");
      const source = node.op === "reshape" ? node.inputs[0] : undefined;
      if (source === undefined || !group.kinds.has(source)) {
        written.add(id);
        return;
      }
      views.add(id);
      visit(source);
    };
    for (const id of used.get(group) ?? []) visit(id);
    return { written, views };
  };
}
