import { collectiveNames, sizeOf } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { FusedCall, PlanItem } from "../fusion/index.js";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";

/** What is to be done at one place of a worker's order, before it is bound to kernels. */
export type Place =
  | { readonly kind: "kernel" | "start" | "finish"; readonly node: PlanNode }
  | { readonly kind: "fused"; readonly node: PlanNode; readonly call: FusedCall };

/** Gathers begin so many bytes of gathers before they are needed. */
const aheadBytes = 32 * 2 ** 20;
/** With more bytes on the way the oldest are waited for: what they sum is smaller than what is sent. */
const openBytes = 64 * 2 ** 20;

/**
 * The order of a plan with its collectives in two halves, so that workers seldom wait for one another:
 *
 *     start   a gather: ahead of its use, once its operand is there; a reduction: where its operand is made
 *     finish  where something uses it first
 *
 * The order of starts and finishes is the same on all workers.
 */
export function orderOf(plan: Plan, items: readonly PlanItem[]): Place[] {
  const inputsOf = (item: PlanItem): readonly NodeId[] => (item.kind === "group" ? item.call.inputs : item.node.inputs);
  const work = items.filter((item) => item.kind === "group" || (item.node.op !== "parameter" && !item.node.constant));
  const collectiveOf = (item: PlanItem): PlanNode | undefined =>
    item.kind === "node" && collectiveNames.has(item.node.op) ? item.node : undefined;

  const madeAt = new Map<NodeId, number>();
  const firstUse = new Map<NodeId, number>();
  work.forEach((item, i) => {
    for (const id of item.kind === "group" ? item.call.outputs : [item.node.id]) madeAt.set(id, i);
    for (const id of inputsOf(item)) if (!firstUse.has(id)) firstUse.set(id, i);
  });
  const bytesOf = (node: PlanNode): number =>
    4 * Math.max(sizeOf(node.type.dims), sizeOf(must(plan.nodes[node.inputs[0] ?? -1], "operand").type.dims));

  // Before which item each collective starts.
  const startsBefore = new Map<number, PlanNode[]>();
  const ahead: { readonly use: number; readonly bytes: number }[] = [];
  work.forEach((item, i) => {
    const node = collectiveOf(item);
    if (node === undefined) return;
    let at = i;
    if (node.op === "all_gather") {
      const ready = Math.max(0, ...node.inputs.map((id) => (madeAt.get(id) ?? -1) + 1));
      let bytes = bytesOf(node);
      let free = 0;
      for (const other of ahead.toReversed()) {
        bytes += other.bytes;
        if (bytes <= aheadBytes) continue;
        free = other.use + 1;
        break;
      }
      at = Math.min(i, Math.max(ready, free));
      ahead.push({ use: firstUse.get(node.id) ?? i, bytes: bytesOf(node) });
    }
    startsBefore.set(at, [...(startsBefore.get(at) ?? []), node]);
  });

  const order: Place[] = [];
  const open = new Map<NodeId, PlanNode>();
  let onTheWay = 0;
  const finish = (id: NodeId): void => {
    const node = open.get(id);
    if (node === undefined) return;
    open.delete(id);
    onTheWay -= bytesOf(node);
    order.push({ kind: "finish", node });
  };
  work.forEach((item, i) => {
    for (const node of startsBefore.get(i) ?? []) {
      for (const id of node.inputs) finish(id);
      for (const [id, { op }] of [...open]) if (op !== "all_gather" && onTheWay > openBytes) finish(id);
      order.push({ kind: "start", node });
      open.set(node.id, node);
      onTheWay += bytesOf(node);
    }
    if (collectiveOf(item) !== undefined) return;
    for (const id of inputsOf(item)) finish(id);
    if (item.kind === "group")
      order.push({ kind: "fused", node: must(plan.nodes[item.call.group.members.at(-1) ?? -1], "node"), call: item.call });
    else order.push({ kind: "kernel", node: item.node });
  });
  for (const id of [...open.keys()]) finish(id);
  return order;
}
