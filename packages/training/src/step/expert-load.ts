import type { GraphBuilder, Value } from "@lapidary/ir";
import type { BuildOptions, ExpertLoad, ModelConfig } from "@lapidary/models";

/** Choices of an expert in a step, over all layers and tokens. */
const assignedName = (expert: number): string => `expert_tokens.${expert}`;
/** Those of them that the expert did not compute. */
const droppedName = (expert: number): string => `expert_dropped.${expert}`;
const droppedShareName = "expert_dropped_share";

/** The metrics of `expertMetrics` for a model, by name. A model without experts has none. */
export function expertMetricNames({ experts }: Pick<ModelConfig, "experts">, { dispatch }: BuildOptions): string[] {
  if (experts === undefined) return [];
  const each = Array.from({ length: experts.count }, (_, e) => e);
  return [...each.map(assignedName), ...(dispatch?.kind === "capacity" ? [...each.map(droppedName), droppedShareName] : [])];
}

/** The load of each expert in a step, summed over the layers, as scalars. */
export function expertMetrics(g: GraphBuilder, loads: readonly ExpertLoad[]): Map<string, Value> {
  const total = (values: readonly Value[]): Value => values.reduce((a, b) => g.add(a, b));
  const scalars = (all: Value, nameOf: (expert: number) => string): [string, Value][] =>
    Array.from({ length: all.type.dims[0] ?? 0 }, (_, e) => [nameOf(e), g.reshape(g.slice(all, [e], [e + 1]), [])]);
  if (loads.length === 0) return new Map();
  const assigned = total(loads.map((load) => load.assigned));
  const ofLayers = loads.flatMap(({ dropped }) => (dropped === undefined ? [] : [dropped]));
  if (ofLayers.length === 0) return new Map(scalars(assigned, assignedName));
  const dropped = total(ofLayers);
  const share = g.divide(g.reduce(dropped, [0], "sum"), g.reduce(assigned, [0], "sum"));
  return new Map([...scalars(assigned, assignedName), ...scalars(dropped, droppedName), [droppedShareName, share]]);
}
