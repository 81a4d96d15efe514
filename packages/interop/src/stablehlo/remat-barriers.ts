import type { Graph, Value, ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";

/**
 * The program computes some values twice to save memory: recomputed forward values, and parameters that the backward pass
 * gathers again. XLA would merge the equal values and keep the first one. To prevent this, the repeated values of each block
 * read their operands through an `optimization_barrier`, which also takes the gradient that enters the block:
 *
 *     x, w (kept) ─┬─► forward of layer 3 ─► …                      … ─► gradient entering layer 3
 *                  └─► optimization_barrier ◄───────────────────────────┘
 *                           └─► forward of layer 3 again ─► its backward
 */
export interface RematBarrier {
  /** Kept values that the repeated values of the block read. */
  readonly operands: readonly ValueId[];
  /** The last value of the backward pass before the barrier. Later values read it through the barrier too. */
  readonly trigger: ValueId | undefined;
  /** The repeated values: they read `operands` through the barrier. */
  readonly members: ReadonlySet<ValueId>;
}

/** The barrier of each block, by its first repeated value. */
export function findRematBarriers(graph: Graph): Map<ValueId, RematBarrier> {
  const isRepeated = repeatedValues(graph);
  const groups = new Map<number | undefined, ValueId[]>();
  for (const value of graph.values) {
    if (!isRepeated[value.id]) continue;
    const { block } = value.scope;
    groups.set(block, [...(groups.get(block) ?? []), value.id]);
  }
  const barriers = new Map<ValueId, RematBarrier>();
  for (const members of groups.values()) {
    const first = ensure(members[0], "member");
    const isKept = (id: ValueId): boolean => {
      const value = ensure(graph.values[id], "operand");
      return id < first && value.scope.phase === "forward" && value.inputs.length + Number(value.op === "parameter") > 0;
    };
    const operands = new Set(members.flatMap((id) => ensure(graph.values[id], "member").inputs).filter(isKept));
    const trigger = graph.values.findLast((value) => value.id < first && value.scope.phase === "backward" && !isRepeated[value.id]);
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
