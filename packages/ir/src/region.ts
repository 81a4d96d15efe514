import { ensure } from "@lapidary/std";
import type { Graph, RegionScope, Value, ValueId } from "./graph.js";

/**
 * A repeated region: neighbouring values of a graph that run `count` times, one iteration after the other. Its body reads any value
 * before the region. Values after the region read only its yields.
 *
 *     %4 = carry %1            %1 in the first iteration, then %8 of the iteration before
 *     %7 = …                   the body
 *     %8 = add %4 %7
 *     %9 = yield %4 %8         %8 of the last iteration, for values after the region
 *
 * Invariants
 * - the values of a region are neighbours: first its carries, then the body, then one yield for each carry;
 * - regions are not nested;
 * - a carry has the same type and sharding in every iteration: those of its yield.
 */
export interface Region extends RegionScope {
  readonly first: ValueId;
  readonly last: ValueId;
  readonly carries: readonly ValueId[];
  readonly yields: readonly ValueId[];
}

/** The regions of a graph, in order. */
export function regionsOf(graph: Graph): Region[] {
  const regions: { -readonly [K in keyof Region]: Region[K] extends readonly ValueId[] ? ValueId[] : Region[K] }[] = [];
  for (const { id, op, scope } of graph.values) {
    if (scope.region === undefined) continue;
    let region = regions.at(-1);
    if (region?.id !== scope.region.id) {
      region = { ...scope.region, first: id, last: id, carries: [], yields: [] };
      regions.push(region);
    }
    region.last = id;
    if (op === "carry") region.carries.push(id);
    if (op === "yield") region.yields.push(id);
  }
  return regions;
}

/** How many times a value is computed in one run of its graph. */
export const runsOf = ({ scope }: Pick<Value, "scope">): number => scope.region?.count ?? 1;

/** By carry of a graph: its yield. */
export const yieldsByCarry = (graph: Graph): ReadonlyMap<ValueId, ValueId> =>
  new Map(graph.values.flatMap(({ id, op, inputs }) => (op === "yield" ? [[ensure(inputs[0], "carry"), id] as const] : [])));

/**
 * Calls `visit` for each value of a graph in the order of execution: the values of a region once in each iteration.
 *
 * @param visit from the second iteration on, `again` of a carry is the yield whose result the carry now has
 */
export function forEachRun(graph: Graph, visit: (value: Value, again: ValueId | undefined) => void): void {
  const yields = yieldsByCarry(graph);
  const regions = new Map(regionsOf(graph).map((region) => [region.first, region]));
  for (let id = 0; id < graph.values.length; id++) {
    const region = regions.get(id);
    const last = region?.last ?? id;
    for (let iteration = 0; iteration < (region?.count ?? 1); iteration++)
      for (let at = id; at <= last; at++) visit(ensure(graph.values[at], "value"), iteration === 0 ? undefined : yields.get(at));
    id = last;
  }
}
