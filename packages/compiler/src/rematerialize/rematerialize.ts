import { ensure } from "@lapidary/std";
import { type Graph, GraphBuilder, ops, type ValueId } from "@lapidary/ir";

/**
 * The forward values of a block that are kept for its backward pass. The backward pass recomputes all others.
 *
 * - `none`: everything is kept;
 * - `dots`: results of matmuls (JAX's `dots_saveable`); elementwise ops and reductions between them are recomputed;
 * - `full`: only the inputs and outputs of a block;
 * - `offload`: as `full`, and the projections that attention reads: matmuls with a weight that reach a batched matmul without another
 *   matmul between them. The host stores these between the passes.
 */
export type RematPolicy = "none" | "dots" | "full" | "offload";
export const rematPolicies: readonly RematPolicy[] = ["none", "dots", "full", "offload"];

/**
 * Replaces forward values in the backward pass by copies. A copy is computed (phase `recompute`) immediately before its first use,
 * from the values that the policy keeps. The block of a value is `scope.block`.
 *
 * Invariants
 * - values outside blocks, and values that another block's forward pass uses, are kept;
 * - a copy computes the same numbers as its original.
 */
export function rematerialize(graph: Graph, policy: RematPolicy): Graph {
  if (policy === "none") return graph;
  const kept = keptValues(graph, policy);
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to: ValueId[] = [];
  const copies = new Map<ValueId, ValueId>();
  for (const value of graph.values) {
    const inputs = value.inputs.map((id) => (value.scope.phase === "backward" ? recomputed(id) : ensure(to[id], "operand")));
    to.push(g.push(value.op, inputs, value.attrs, value.type, value).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(ensure(to[value], "output")));
  return g.finish();

  function recomputed(id: ValueId): ValueId {
    if (kept[id] === true) return ensure(to[id], "operand");
    const known = copies.get(id);
    if (known !== undefined) return known;
    const value = ensure(graph.values[id], "value");
    const inputs = value.inputs.map(recomputed);
    const { name, logicalAxes, scope } = value;
    const copy = g.push(value.op, inputs, value.attrs, value.type, { name, logicalAxes, scope: { ...scope, phase: "recompute" } });
    copies.set(id, copy.id);
    return copy.id;
  }
}

function keptValues(graph: Graph, policy: Exclude<RematPolicy, "none">): boolean[] {
  const offloaded = policy === "offload" ? projectionsOfAttention(graph) : undefined;
  const kept = graph.values.map((value) => {
    if (
      value.scope.phase !== "forward" ||
      value.op === "parameter" ||
      value.op === "constant" ||
      value.role !== undefined ||
      value.scope.block === undefined
    )
      return true;
    return (policy === "dots" && ops[value.op].kernel === "product") || offloaded?.has(value.id) === true;
  });
  for (const value of graph.values) {
    if (value.scope.phase !== "forward") continue;
    for (const id of value.inputs) if (ensure(graph.values[id], "operand").scope.block !== value.scope.block) kept[id] = true;
  }
  for (const { value } of graph.outputs) kept[value] = true;
  return kept;
}

/** Matmuls without batch dims that reach a matmul with batch dims through ops that are not matmuls. */
function projectionsOfAttention(graph: Graph): Set<ValueId> {
  const found = new Set<ValueId>();
  const seen = new Set<ValueId>();
  const trace = (id: ValueId): void => {
    if (seen.has(id)) return;
    seen.add(id);
    const value = ensure(graph.values[id], "value");
    if (ops[value.op].kernel !== "product") for (const input of value.inputs) trace(input);
    else if (value.op === "dot_general" && value.attrs.batch.length === 0) found.add(id);
  };
  for (const value of graph.values)
    if (value.scope.phase === "forward" && value.op === "dot_general" && value.attrs.batch.length > 0)
      for (const id of value.inputs) trace(id);
  return found;
}
