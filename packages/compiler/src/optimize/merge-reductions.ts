import { ensure } from "@lapidary/std";
import { type Graph, GraphBuilder, type Sharding, type Value, type ValueId, sameSharding, useCounts } from "@lapidary/ir";
import { copyValue, copyInto } from "./rewrites.js";

/**
 * Replaces a sum of reduced values by the reduction of their sum, one for each set of axes:
 *
 *     all_reduce(a) + all_reduce(b) + c + all_reduce(d)   →   all_reduce(a + b + d) + c
 *
 * The terms must have no other use, and belong to one chunk of the loss if they have one: the sum of a chunk is computed before the next
 * chunk, so that its terms are freed. With this rewrite the global norm of the gradients needs one reduction of a scalar for each
 * set of axes, for any number of parameters.
 */
export function mergeReductions(graph: Graph): Graph {
  const uses = useCounts(graph);
  const hasOneUse = (id: ValueId): boolean => uses[id] === 1;
  const valueOf = (id: ValueId): Value => ensure(graph.values[id], "value");
  /** Roots of sums, with their flattened terms. */
  const terms = new Map<ValueId, ValueId[]>();
  const inner = new Set<ValueId>();
  for (let id = graph.values.length - 1; id >= 0; id--) {
    const value = valueOf(id);
    if (value.op !== "add" || inner.has(id)) continue;
    const flat = flatten(value);
    const groups = groupByReduction(flat);
    if (![...groups.values()].some((group) => group.length > 1)) continue;
    terms.set(id, flat);
    markInner(value);
  }
  if (terms.size === 0) return graph;

  const g = new GraphBuilder(graph.name, graph.level, graph.mesh);
  const to = new Map<ValueId, ValueId>();
  for (const value of graph.values) {
    if (inner.has(value.id)) continue;
    const flat = terms.get(value.id);
    if (flat === undefined) {
      to.set(value.id, copyValue(g, value, (id) => to.get(id)).id);
      continue;
    }
    const add = (parts: readonly Value[], sharding: Sharding | undefined): Value =>
      parts.reduce((sum, part) => g.op("add", [sum, part], {}, { name: value.name, scope: value.scope, sharding }));
    const sums = [...groupByReduction(flat).entries()].map(([key, group]) => {
      const first = valueOf(ensure(group[0], "term"));
      if (key === "" || first.op !== "all_reduce")
        return add(
          group.map((id) => g.get(ensure(to.get(id), "term"))),
          value.sharding,
        );
      const operands = group.map((id) => valueOf(id).inputs[0] ?? 0);
      const partial = add(
        operands.map((id) => g.get(ensure(to.get(id), "operand"))),
        valueOf(ensure(operands[0], "operand")).sharding,
      );
      return copyInto(g, first, [partial.id]);
    });
    to.set(value.id, add(sums, value.sharding).id);
  }
  for (const { name, value } of graph.outputs) g.output(name, g.get(ensure(to.get(value), "output")));
  return g.finish();

  function flatten(value: Value): ValueId[] {
    return value.inputs.flatMap((id) =>
      valueOf(id).op === "add" && hasOneUse(id) && sameAs(value, valueOf(id)) ? flatten(valueOf(id)) : [id],
    );
  }

  function sameAs(a: Value, b: Value): boolean {
    return b.role === undefined && isOfSamePart(a, b) && sameSharding(shardingOf(a), shardingOf(b));
  }

  function markInner(value: Value): void {
    for (const id of value.inputs) {
      const input = valueOf(id);
      if (input.op === "add" && hasOneUse(id) && sameAs(value, input)) {
        inner.add(id);
        markInner(input);
      } else if (groupByReduction([id]).has("") === false) inner.add(id);
    }
  }

  /** Terms by the axes of their reduction and the sharding of its operand; "" for terms that are not merged. */
  function groupByReduction(ids: readonly ValueId[]): Map<string, ValueId[]> {
    const groups = new Map<string, ValueId[]>();
    for (const id of ids) {
      const value = valueOf(id);
      const operand = graph.values[value.inputs[0] ?? 0];
      const key =
        value.op === "all_reduce" && value.attrs.kind === "sum" && hasOneUse(id) && value.role === undefined
          ? JSON.stringify([value.attrs.axes, operand?.sharding, value.scope.region?.id])
          : "";
      groups.set(key, [...(groups.get(key) ?? []), id]);
    }
    return groups;
  }
}

const shardingOf = ({ sharding }: Value): Sharding => ensure(sharding, "sharding");

/** Whether two values belong to one chunk of the loss and to one region, if they have one. */
const isOfSamePart = ({ scope: a }: Value, { scope: b }: Value): boolean => a.chunk === b.chunk && a.region?.id === b.region?.id;
