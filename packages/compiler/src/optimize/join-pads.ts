import { must } from "@lapidary/std";
import { type Graph, GraphBuilder, type Value, type ValueId, useCounts } from "@lapidary/ir";
import { carryOver } from "./rewrites.js";

/**
 * A sum of arrays that were padded with zeros to lie side by side is their concatenation:
 *
 *     pad(a, low 0, high n) + pad(b, low m, high 0)   →   concatenate(a, b)
 *
 * It is what the derivative of a concatenation of slices leaves (rotary embedding turns halves).
 */
export function joinPads(graph: Graph): Graph {
  const uses = useCounts(graph);
  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to: ValueId[] = [];
  for (const value of graph.values) {
    const joined = value.op === "add" ? besides(graph, value, uses) : undefined;
    if (joined === undefined) {
      to.push(carryOver(g, value, (id) => to[id]).id);
      continue;
    }
    const parts = joined.parts.map((id) => must(to[id], "part"));
    to.push(g.push("concatenate", parts, { dimension: joined.dimension }, value.type, value).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(must(to[value], "output")));
  return g.finish();
}

/** The operands of the pads, in order along the dim, if `value` adds two that complement each other. */
function besides(graph: Graph, value: Value, uses: readonly number[]): { dimension: number; parts: [ValueId, ValueId] } | undefined {
  const [a, b] = value.inputs.map((id) => must(graph.values[id], "operand")) as [Value, Value];
  if (a.op !== "pad" || b.op !== "pad" || uses[a.id] !== 1 || uses[b.id] !== 1 || a.role !== undefined || b.role !== undefined)
    return undefined;
  const padded = (v: typeof a): number[] => v.attrs.low.map((_, d) => d).filter((d) => v.attrs.low[d] !== 0 || v.attrs.high[d] !== 0);
  const [dimension, ...others] = [...new Set([...padded(a), ...padded(b)])];
  if (dimension === undefined || others.length > 0) return undefined;
  for (const [first, second] of [
    [a, b],
    [b, a],
  ] as const) {
    const [one, two] = [
      must(graph.values[must(first.inputs[0], "operand")], "operand"),
      must(graph.values[must(second.inputs[0], "operand")], "operand"),
    ];
    if (
      first.attrs.low[dimension] === 0 &&
      first.attrs.high[dimension] === two.type.dims[dimension] &&
      second.attrs.low[dimension] === one.type.dims[dimension] &&
      second.attrs.high[dimension] === 0
    )
      return { dimension, parts: [one.id, two.id] };
  }
  return undefined;
}
