import { ensure } from "@lapidary/std";
import { type Graph, type Value, type ValueId, elementwiseNames, ops, useCounts } from "@lapidary/ir";

/**
 * Values without a buffer, as in XLA's loop fusion:
 *
 * - the users of a producer (`broadcast_in_dim`, `constant`, `iota`) compute its result;
 * - the user of an elementwise value computes it if it is the only use, is elementwise, a producer or a reduction, and has the same phase, chunk and region.
 *
 * A `reshape` is a view. It has no buffer either, but the buffer of its operand stays.
 */
export function fusedValues(graph: Graph): boolean[] {
  const uses = useCounts(graph);
  const user = new Map<ValueId, Value>();
  for (const value of graph.values) for (const id of value.inputs) user.set(id, value);
  const outputs = new Set(graph.outputs.map((o) => o.value));
  return graph.values.map((value) => {
    if (ops[value.op].producer) return true;
    if (!elementwiseNames.has(value.op) || uses[value.id] !== 1 || outputs.has(value.id) || value.role !== undefined) return false;
    const use = ensure(user.get(value.id), "use");
    return (
      use.scope.phase === value.scope.phase &&
      use.scope.chunk === value.scope.chunk &&
      use.scope.region?.id === value.scope.region?.id &&
      (elementwiseNames.has(use.op) || use.op === "reduce" || ops[use.op].producer)
    );
  });
}
