import { type GraphBuilder, type TensorType, tensorType, type Value } from "@lapidary/ir";
import type { BuildOptions, ExpertLoad, Model, ModelConfig } from "@lapidary/models";

/** Choices of an expert in a step, over all layers and tokens. */
const assignedName = (expert: number): string => `expert_tokens.${expert}`;
/** Those of them that the expert did not compute. */
const droppedName = (expert: number): string => `expert_dropped.${expert}`;
const droppedShareName = "expert_dropped_share";

/** The metrics of `loadMetrics` for a model, by name. A model without experts has none. */
export function expertMetricNames({ experts }: Pick<ModelConfig, "experts">, { dispatch }: BuildOptions): string[] {
  if (experts === undefined) return [];
  const each = Array.from({ length: experts.count }, (_, e) => e);
  return [...each.map(assignedName), ...(dispatch?.kind === "capacity" ? [...each.map(droppedName), droppedShareName] : [])];
}

/** The types of `loadSums` for a model. */
export const loadTypes = ({ experts }: Model): TensorType[] =>
  experts === undefined ? [] : Array.from({ length: experts.drops ? 2 : 1 }, () => tensorType("f32", [experts.count]));

/** The load of each expert, summed over the layers: chosen [E] and, if experts can be full, dropped [E]. None without experts. */
export function loadSums(g: GraphBuilder, loads: readonly ExpertLoad[]): Value[] {
  const total = (values: readonly Value[]): Value => values.reduce((a, b) => g.add(a, b));
  const dropped = loads.flatMap((load) => (load.dropped === undefined ? [] : [load.dropped]));
  return [loads.map((load) => load.assigned), dropped].filter(({ length }) => length > 0).map(total);
}

/** The sums of `loadSums` as scalars. */
export function loadMetrics(g: GraphBuilder, [assigned, dropped]: readonly Value[]): Map<string, Value> {
  const scalars = (all: Value, nameOf: (expert: number) => string): [string, Value][] =>
    Array.from({ length: all.type.dims[0] ?? 0 }, (_, e) => [nameOf(e), g.reshape(g.slice(all, [e], [e + 1]), [])]);
  if (assigned === undefined) return new Map();
  if (dropped === undefined) return new Map(scalars(assigned, assignedName));
  const share = g.divide(g.reduce(dropped, [0], "sum"), g.reduce(assigned, [0], "sum"));
  return new Map([...scalars(assigned, assignedName), ...scalars(dropped, droppedName), [droppedShareName, share]]);
}
