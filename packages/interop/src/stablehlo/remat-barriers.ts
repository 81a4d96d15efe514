import type { Graph, Value, ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/** A barrier in the text, which keeps XLA from computing values before other values, or together with them. */
export interface OrderBarrier {
  /** Values that the members read, and that are computed before the barrier. */
  readonly operands: readonly ValueId[];
  /** The value after which the members are computed. Later values read it through the barrier too. */
  readonly trigger: ValueId | undefined;
  /**
   * Values of which one number decides whether the members read their operands or NaN, in the per-device module. XLA removes barriers before it orders
   * kernels, but keeps this dependence.
   */
  readonly awaited?: readonly ValueId[];
  /** They read `operands` through the barrier. */
  readonly members: ReadonlySet<ValueId>;
}

/**
 * The program computes some values twice to save memory: recomputed forward values, and parameters that the backward pass
 * gathers again. XLA would merge the equal values and keep the first one. To prevent this, the repeated values of each block
 * read their operands through an `optimization_barrier`, which also takes the gradient that enters the block:
 *
 *     x, w (kept) ─┬─► forward of layer 3 ─► …                      … ─► gradient entering layer 3
 *                  └─► optimization_barrier ◄───────────────────────────┘
 *                           └─► forward of layer 3 again ─► its backward
 *
 * @returns the barrier of each block, by its first repeated value
 */
export function findRematBarriers(graph: Graph): Map<ValueId, OrderBarrier> {
  const isRepeated = repeatedValues(graph);
  const groups = new Map<number | undefined, ValueId[]>();
  for (const value of graph.values) {
    if (!isRepeated[value.id]) continue;
    const { block } = value.scope;
    groups.set(block, [...(groups.get(block) ?? []), value.id]);
  }
  const barriers = new Map<ValueId, OrderBarrier>();
  for (const members of groups.values()) {
    const first = ensure(members[0], "member");
    const isKept = (id: ValueId): boolean => {
      const value = ensure(graph.values[id], "operand");
      return id < first && value.scope.phase === "forward" && value.inputs.length + Number(value.op === "parameter") > 0;
    };
    const operands = new Set(members.flatMap((id) => ensure(graph.values[id], "member").inputs).filter(isKept));
    // A value of another region, or from outside of it, does not order the values of an iteration.
    const region = graph.values[first]?.scope.region?.id;
    const canTrigger = ({ id, op, scope }: Value): boolean =>
      id < first && scope.phase === "backward" && scope.region?.id === region && op !== "carry" && isRepeated[id] !== true;
    const trigger = graph.values.findLast(canTrigger);
    if (operands.size > 0) barriers.set(first, { operands: [...operands], trigger: trigger?.id, members: new Set(members) });
  }
  return barriers;
}

/** For each value, whether it is recomputed, or a gather of the backward pass that repeats one of the forward pass. */
function repeatedValues(graph: Graph): boolean[] {
  const gathers = new Set<string>();
  const keyOf = (value: Value): string => `${value.inputs.join(",")} ${JSON.stringify(value.attrs)}`;
  return graph.values.map((value) => {
    const { phase } = value.scope;
    if (phase === "recompute") return true;
    if (value.op !== "all_gather") return false;
    if (phase === "forward") gathers.add(keyOf(value));
    return phase === "backward" && gathers.has(keyOf(value));
  });
}
