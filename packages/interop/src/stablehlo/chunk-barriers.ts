import type { Graph, Value, ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { OrderBarrier } from "./remat-barriers.js";

/**
 * The chunks of the loss must run one after the other, or the logits of several are in memory. XLA does not keep the order of the text.
 * Therefore each chunk reads its operands through an `optimization_barrier`, which also takes the last value of the chunk before it:
 *
 *     hidden ─┬─► chunk 0 ─► d weight ─┐
 *             └─► optimization_barrier ◄┘
 *                      └─► chunk 1, which adds to d weight
 *
 * Values that depend only on parameters of the model, such as a gathered weight, are read directly. Their copies would need memory.
 *
 * @returns the barrier of each chunk but the first, by the chunk's first value
 */
export function findChunkBarriers(graph: Graph): Map<ValueId, OrderBarrier> {
  const chunks = new Map<number, Value[]>();
  for (const value of graph.values) {
    const { chunk } = value.scope;
    if (chunk !== undefined) chunks.set(chunk, [...(chunks.get(chunk) ?? []), value]);
  }
  const isDirect = dependsOnParamsOnly(graph);
  const barriers = new Map<ValueId, OrderBarrier>();
  let before: Value | undefined;
  for (const members of chunks.values()) {
    const [first, last] = [ensure(members[0], "first"), ensure(members.at(-1), "last")];
    const ids = new Set(members.map(({ id }) => id));
    const operands = new Set(members.flatMap(({ inputs }) => inputs).filter((id) => id < first.id && isDirect[id] !== true));
    if (before !== undefined) {
      operands.delete(before.id);
      barriers.set(first.id, { operands: [...operands], trigger: before.id, members: ids });
    }
    before = last;
  }
  return barriers;
}

/** Whether each value is an argument, or depends on no other values than params and constants. */
function dependsOnParamsOnly(graph: Graph): boolean[] {
  const only: boolean[] = [];
  for (const { op, inputs } of graph.values) only.push(op === "parameter" || inputs.every((id) => only[id] === true && !isBatch(id)));
  return only;

  function isBatch(id: ValueId): boolean {
    return graph.values[id]?.role === "batch";
  }
}
