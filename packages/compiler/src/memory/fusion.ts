import { must } from "@lapidary/std";
import { type Graph, type Value, type ValueId, elementwiseNames, ops, useCounts } from "@lapidary/ir";

/**
 * Values that never reach memory, as XLA's loop fusion has it:
 *
 * - the results of producers (`broadcast_in_dim`, `constant`, `iota`) are made inside their users;
 * - an elementwise value with one use is computed inside that use when that is elementwise, a broadcast or a reduction of the same phase.
 *
 * A `reshape` is a view: it has no buffer either, but what it looks at stays.
 */
export function fusedValues(graph: Graph): boolean[] {
  const uses = useCounts(graph);
  const user = new Map<ValueId, Value>();
  for (const value of graph.values) for (const id of value.inputs) user.set(id, value);
  const outputs = new Set(graph.outputs.map((o) => o.value));
  return graph.values.map((value) => {
    if (ops[value.op].producer) return true;
    if (!elementwiseNames.has(value.op) || uses[value.id] !== 1 || outputs.has(value.id) || value.role !== undefined) return false;
    const use = must(user.get(value.id), "use");
    return use.scope.phase === value.scope.phase && (elementwiseNames.has(use.op) || use.op === "reduce" || ops[use.op].producer);
  });
}
