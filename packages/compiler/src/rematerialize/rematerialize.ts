import { must } from "@lapidary/std";
import { type Graph, GraphBuilder, type ValueId } from "@lapidary/ir";

/**
 * What is kept of a block's forward pass for its backward pass; the rest is computed again there.
 *
 * - `none`: everything is kept;
 * - `dots`: results of products (JAX's `dots_saveable`); what lies between them, elementwise work and reductions, is done again;
 * - `full`: only what enters and leaves a block;
 * - `offload`: as `full`, and the projections that attention reads (products of a weight that reach a batched product through no other product): a chip
 *   keeps these in its host's memory between the passes.
 */
export type RematPolicy = "none" | "dots" | "full" | "offload";
export const rematPolicies: readonly RematPolicy[] = ["none", "dots", "full", "offload"];

/**
 * Gives the backward pass copies of forward values instead of the values themselves, computed (`recompute` phase) right before their first use
 * from what the policy keeps. The block of a value is `scope.block`.
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
    const inputs = value.inputs.map((id) => (value.scope.phase === "backward" ? recomputed(id) : must(to[id], "operand")));
    to.push(g.push(value.op, inputs, value.attrs, value.type, value).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(must(to[value], "output")));
  return g.finish();

  function recomputed(id: ValueId): ValueId {
    if (kept[id] === true) return must(to[id], "operand");
    const known = copies.get(id);
    if (known !== undefined) return known;
    const value = must(graph.values[id], "value");
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
    return (policy === "dots" && value.op === "dot_general") || offloaded?.has(value.id) === true;
  });
  for (const value of graph.values) {
    if (value.scope.phase !== "forward") continue;
    for (const id of value.inputs) if (must(graph.values[id], "operand").scope.block !== value.scope.block) kept[id] = true;
  }
  for (const { value } of graph.outputs) kept[value] = true;
  return kept;
}

/** Products without batch dims that reach one with batch dims through other ops than products. */
function projectionsOfAttention(graph: Graph): Set<ValueId> {
  const found = new Set<ValueId>();
  const seen = new Set<ValueId>();
  const trace = (id: ValueId): void => {
    if (seen.has(id)) return;
    seen.add(id);
    const value = must(graph.values[id], "value");
    if (value.op !== "dot_general") for (const input of value.inputs) trace(input);
    else if (value.attrs.batch.length === 0) found.add(id);
  };
  for (const value of graph.values)
    if (value.scope.phase === "forward" && value.op === "dot_general" && value.attrs.batch.length > 0)
      for (const id of value.inputs) trace(id);
  return found;
}
