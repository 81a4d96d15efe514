import { ensure } from "@lapidary/std";
import type { NodeId, Plan, PlanNode } from "./plan.js";

/** The region of a node's body; undefined outside of regions. */
export const regionOf = ({ value, constant }: PlanNode): number | undefined => (constant ? undefined : value.scope.region?.id);

/** By node, the number of region borders before it: nodes with equal numbers may be computed in any order that respects their operands. */
export function segmentsOf({ nodes }: Plan): number[] {
  let [segment, region]: [number, number | undefined] = [0, undefined];
  return nodes.map((node) => {
    if (!node.constant && node.op !== "parameter" && regionOf(node) !== region) [segment, region] = [segment + 1, regionOf(node)];
    return segment;
  });
}

/** The items of a schedule that run `count` times. */
export interface Loop {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  /** Carries, each with its yield. */
  readonly carried: readonly { readonly carry: NodeId; readonly yielded: NodeId }[];
}

/** The loops of a schedule, in order. */
export function findLoops(schedule: readonly { readonly node: PlanNode }[]): Loop[] {
  const loops: (Loop & { id: number; last: number; carried: Loop["carried"][number][] })[] = [];
  schedule.forEach(({ node }, i) => {
    const { region } = node.value.scope;
    if (region === undefined) return;
    let loop = loops.at(-1);
    if (loop?.id !== region.id) {
      loop = { id: region.id, first: i, last: i, count: region.count, carried: [] };
      loops.push(loop);
    }
    loop.last = i;
    if (node.op === "yield") loop.carried.push({ carry: ensure(node.inputs[0], "carry"), yielded: node.id });
  });
  return loops;
}
