import type { Graph, Value, ValueId } from "@lapidary/ir";
import { must } from "@lapidary/std";

/**
 * Work that the program does twice to keep less: recomputed forward values, and params that the backward pass gathers again.
 * XLA would find the twins equal and keep the first after all, so each block's renewed work reads its operands through an
 * `optimization_barrier`, tied to the gradient that has arrived by then:
 *
 *     x, w (kept) ─┬─► forward of layer 3 ─► …                      … ─► gradient entering layer 3
 *                  └─► optimization_barrier ◄───────────────────────────┘
 *                           └─► forward of layer 3 again ─► its backward
 */
export interface Renewal {
  /** Kept values that the block's renewed work reads. */
  readonly operands: readonly ValueId[];
  /** The last value of the backward pass before it; what comes later reads it through the barrier too. */
  readonly trigger: ValueId | undefined;
  /** The renewed values: they read `operands` through the barrier. */
  readonly members: ReadonlySet<ValueId>;
}

/** By the first renewed value of each block. */
export function findRenewals(graph: Graph): Map<ValueId, Renewal> {
  const isRenewed = renewedValues(graph);
  const groups = new Map<number | undefined, ValueId[]>();
  for (const value of graph.values) {
    if (!isRenewed[value.id]) continue;
    const { block } = value.scope;
    groups.set(block, [...(groups.get(block) ?? []), value.id]);
  }
  const renewals = new Map<ValueId, Renewal>();
  for (const members of groups.values()) {
    const first = must(members[0], "member");
    const isKept = (id: ValueId): boolean => {
      const value = must(graph.values[id], "operand");
      return id < first && value.scope.phase === "forward" && value.inputs.length + Number(value.op === "parameter") > 0;
    };
    const operands = new Set(members.flatMap((id) => must(graph.values[id], "member").inputs).filter(isKept));
    const trigger = graph.values.findLast((value) => value.id < first && value.scope.phase === "backward" && !isRenewed[value.id]);
    if (operands.size > 0) renewals.set(first, { operands: [...operands], trigger: trigger?.id, members: new Set(members) });
  }
  return renewals;
}

/** What is recomputed, and a gather of the backward pass that repeats one of the forward pass. */
function renewedValues(graph: Graph): boolean[] {
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
