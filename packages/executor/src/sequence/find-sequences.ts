import { ensure } from "@lapidary/std";
import type { ScheduleItem } from "../execution/schedule.js";
import { regionOf } from "../plan/loops.js";
import type { NodeId, Plan } from "../plan/plan.js";
import { type SequenceCall, encodeSequence } from "./encode.js";
import type { NativeCall } from "./native-call.js";

/** Several items of a schedule as one. `node` is the last node. */
export interface SequenceItem {
  readonly kind: "sequence";
  readonly node: ScheduleItem["node"];
  readonly items: readonly KernelItem[];
  readonly call: SequenceCall;
}

/** An item of a worker's schedule, after neighbouring kernels are joined. */
export type StepItem = ScheduleItem | SequenceItem;

type KernelItem = Extract<ScheduleItem, { readonly kind: "kernel" | "fused" }>;

/** The call of an item. `"view"`: the item has the memory of its operand. Undefined: it must stay an item of its own. */
export type CallOf = (item: KernelItem) => NativeCall | "view" | undefined;

/**
 * Joins neighbouring kernels of a schedule:
 *
 *     kernel fused dot  start finish  dot fused      →      sequence  start finish  sequence
 *
 * @param isOverwritable whether a parameter may be overwritten by the only node that uses it
 */
export function findSequences(
  plan: Plan,
  schedule: readonly ScheduleItem[],
  callOf: CallOf,
  isOverwritable: (parameter: NodeId) => boolean,
): StepItem[] {
  const result: StepItem[] = [];
  let run: { readonly item: KernelItem; readonly call: NativeCall | "view" }[] = [];
  const usersOf = new Map<NodeId, Set<ScheduleItem>>();
  for (const item of schedule)
    for (const id of item.kind === "fused" ? item.call.inputs : item.kind === "finish" ? [] : item.node.inputs)
      usersOf.set(id, (usersOf.get(id) ?? new Set()).add(item));
  const outputs = new Set(plan.outputs.map(({ node }) => node));
  const end = (): void => {
    const members = new Set<ScheduleItem>(run.map(({ item }) => item));
    const made = run.flatMap(({ item }) => (item.kind === "fused" ? item.call.outputs : [item.node.id]));
    const isUsed = (id: NodeId): boolean => outputs.has(id) || [...(usersOf.get(id) ?? [])].some((user) => !members.has(user));
    const calls = run.flatMap(({ call }) => (call === "view" ? [] : [call]));
    if (calls.length < 2) result.push(...members);
    else
      result.push({
        kind: "sequence",
        node: ensure(run.at(-1), "item").item.node,
        items: run.map(({ item }) => item),
        call: encodeSequence(plan, {
          calls,
          views: new Map(
            run.flatMap(({ item, call }) => (call === "view" ? [[item.node.id, ensure(item.node.inputs[0], "operand")]] : [])),
          ),
          used: new Set(made.filter(isUsed)),
          isOverwritable,
        }),
      });
    run = [];
  };
  for (const item of schedule) {
    const kernel = item.kind === "kernel" || item.kind === "fused" ? item : undefined;
    const call = kernel === undefined ? undefined : callOf(kernel);
    const last = run.at(-1);
    if (last !== undefined && regionOf(last.item.node) !== regionOf(item.node)) end();
    if (kernel === undefined || call === undefined) {
      end();
      result.push(item);
    } else run.push({ item: kernel, call });
  }
  end();
  return result;
}
