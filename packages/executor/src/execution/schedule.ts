import { collectiveNames, sizeOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { FusedCall, PlanItem } from "../fusion/index.js";
import { regionOf } from "../plan/loops.js";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";

/** An item of a worker's schedule, before it is bound to kernels. */
export type ScheduleItem =
  | { readonly kind: "kernel"; readonly node: PlanNode }
  | { readonly kind: "start" | "finish"; readonly node: PlanNode }
  | { readonly kind: "fused"; readonly node: PlanNode; readonly call: FusedCall };

/** Limit of the bytes of gathers that start before they are needed. */
const aheadBytes = 32 * 2 ** 20;
/** If more bytes are in flight, the oldest reductions finish early, because a reduced value is smaller than its operands. */
const openBytes = 64 * 2 ** 20;

/**
 * The schedule of a plan. Each collective has two halves, so that workers seldom wait for one another:
 *
 *     start   of a gather: before its use, once its operand exists; of a reduction: when its operand is computed
 *     finish  before the first use of the result
 *
 * The order of starts and finishes is the same on all workers. A collective starts and finishes in one iteration of a region.
 */
export function makeSchedule(plan: Plan, items: readonly PlanItem[]): ScheduleItem[] {
  const inputsOf = (item: PlanItem): readonly NodeId[] => (item.kind === "group" ? item.call.inputs : item.node.inputs);
  const work = items.filter((item) => item.kind === "group" || (item.node.op !== "parameter" && !item.node.constant));
  const collectiveOf = (item: PlanItem): PlanNode | undefined =>
    item.kind === "node" && collectiveNames.has(item.node.op) ? item.node : undefined;

  const begins = segmentBegins(plan, work);
  const madeAt = new Map<NodeId, number>();
  const firstUse = new Map<NodeId, number>();
  work.forEach((item, i) => {
    for (const id of item.kind === "group" ? item.call.outputs : [item.node.id]) madeAt.set(id, i);
    for (const id of inputsOf(item)) if (!firstUse.has(id)) firstUse.set(id, i);
  });
  const bytesOf = (node: PlanNode): number =>
    4 * Math.max(sizeOf(node.type.dims), sizeOf(ensure(plan.nodes[node.inputs[0] ?? -1], "operand").type.dims));

  // By item: the collectives that start before it.
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
      at = Math.min(i, Math.max(ready, free, begins[i] ?? 0));
      ahead.push({ use: firstUse.get(node.id) ?? i, bytes: bytesOf(node) });
    }
    startsBefore.set(at, [...(startsBefore.get(at) ?? []), node]);
  });

  const schedule: ScheduleItem[] = [];
  const open = new Map<NodeId, PlanNode>();
  let bytesInFlight = 0;
  const finish = (id: NodeId): void => {
    const node = open.get(id);
    if (node === undefined) return;
    open.delete(id);
    bytesInFlight -= bytesOf(node);
    schedule.push({ kind: "finish", node });
  };
  work.forEach((item, i) => {
    if (begins[i] === i) for (const id of [...open.keys()]) finish(id);
    for (const node of startsBefore.get(i) ?? []) {
      for (const id of node.inputs) finish(id);
      for (const [id, { op }] of [...open]) if (op !== "all_gather" && bytesInFlight > openBytes) finish(id);
      schedule.push({ kind: "start", node });
      open.set(node.id, node);
      bytesInFlight += bytesOf(node);
    }
    if (collectiveOf(item) !== undefined) return;
    for (const id of inputsOf(item)) finish(id);
    if (item.kind === "group") schedule.push({ kind: "fused", node: nodeOf(plan, item), call: item.call });
    else schedule.push({ kind: "kernel", node: item.node });
  });
  for (const id of [...open.keys()]) finish(id);
  return schedule;
}

/** The last node that an item computes. */
const nodeOf = (plan: Plan, item: PlanItem): PlanNode =>
  item.kind === "node" ? item.node : ensure(plan.nodes[item.call.group.members.at(-1) ?? -1], "node");

/** By item, the first item of its region, or of the stretch of items between two regions. */
function segmentBegins(plan: Plan, items: readonly PlanItem[]): number[] {
  let [begin, region]: [number, number | undefined] = [0, undefined];
  return items.map((item, i) => {
    const own = regionOf(nodeOf(plan, item));
    if (own !== region) [begin, region] = [i, own];
    return begin;
  });
}
