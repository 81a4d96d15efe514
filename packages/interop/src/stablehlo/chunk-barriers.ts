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
 * XLA removes barriers before it orders kernels, and the TPU compiler then computes the logits of all chunks first. In the per-device
 * module, each chunk therefore also depends on the results of the chunk before it, or on their sums: it reads NaN if one number of them is NaN. In the
 * global module, the chips would have to exchange these numbers. The backward pass awaits the last chunk in the same way. Otherwise the compiler may
 * keep the logits of this chunk in memory, and compute the gradient of the weight later.
 *
 * Values that depend only on parameters of the model, such as a gathered weight, are read directly. Their copies would need memory.
 *
 * @returns the barrier of each chunk but the first, by the chunk's first value, and that of the backward pass
 */
export function findChunkBarriers(graph: Graph): Map<ValueId, OrderBarrier> {
  const chunks = new Map<number, Value[]>();
  for (const value of graph.values) {
    const { chunk } = value.scope;
    if (chunk !== undefined) chunks.set(chunk, [...(chunks.get(chunk) ?? []), value]);
  }
  const isDirect = dependsOnParamsOnly(graph);
  const barriers = new Map<ValueId, OrderBarrier>();
  let before: readonly Value[] | undefined;
  for (const members of chunks.values()) {
    const first = ensure(members[0], "first");
    const ids = new Set(members.map(({ id }) => id));
    const operands = new Set(members.flatMap(({ inputs }) => inputs).filter((id) => id < first.id && isDirect[id] !== true));
    if (before !== undefined) {
      const trigger = ensure(before.at(-1), "last");
      operands.delete(trigger.id);
      barriers.set(first.id, { operands: [...operands], trigger: trigger.id, awaited: awaitedOf(graph, before), members: ids });
    }
    before = members;
  }
  const backward = before === undefined ? undefined : backwardBarrier(graph, before);
  return backward === undefined ? barriers : barriers.set(Math.min(...backward.members), backward);
}

/** In the per-device module, the backward pass reads the joined gradients of all chunks after the results of the last chunk. */
function backwardBarrier(graph: Graph, lastChunk: readonly Value[]): OrderBarrier | undefined {
  if (graph.level !== "chip") return undefined;
  const at = (id: ValueId): Value => ensure(graph.values[id], "value");
  const isOfChunk = ({ op, inputs, scope }: Value): boolean =>
    scope.chunk !== undefined || (op === "reshape" && inputs.some((id) => isOfChunk(at(id))));
  const joined = graph.values.find(
    (value) => value.op === "concatenate" && value.scope.phase === "backward" && value.inputs.some((id) => isOfChunk(at(id))),
  );
  if (joined === undefined) return undefined;
  const members = graph.values.filter(({ inputs }) => inputs.includes(joined.id)).map(({ id }) => id);
  return { operands: [joined.id], trigger: undefined, awaited: awaitedOf(graph, lastChunk), members: new Set(members) };
}

/** The values of a chunk that the values after it await. */
const awaitedOf = (graph: Graph, members: readonly Value[]): ValueId[] => matmulsForOthers(graph, members).map((id) => sumOf(id, members));

/** The matmuls of a chunk that no other matmul of the chunk needs: with all of them, the logits of the chunk are no longer needed. */
function matmulsForOthers(graph: Graph, members: readonly Value[]): ValueId[] {
  const needed = new Set<ValueId>();
  const results: ValueId[] = [];
  for (const { id, op, inputs } of [...members].reverse()) {
    if (op === "dot_general" && !needed.has(id)) results.push(id);
    if (op === "dot_general" || needed.has(id)) for (const input of inputs) needed.add(input);
  }
  return results;
}

/**
 * The sum of a matmul with the result of the chunk before it, if only this sum reads the matmul; else the matmul. If another op read the matmul, the
 * compiler would write it to an array of its own, of the size of the weight.
 */
function sumOf(matmul: ValueId, members: readonly Value[]): ValueId {
  const [reader, ...others] = members.filter(({ inputs }) => inputs.includes(matmul));
  return reader?.op === "add" && others.length === 0 ? reader.id : matmul;
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
