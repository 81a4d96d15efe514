import { type Graph, type Value, parametersOf } from "@lapidary/ir";
import type { PropagateOptions } from "./propagated.js";
import { Priority, type Seed, parseLogicalAxis, seedsOfRules, seedsOfZero } from "./rules.js";

export const hasLogicalNames = ({ op, logicalAxes }: Value): boolean => logicalAxes !== undefined || op === "constrain";

/** Names of the logical axes of a value. */
export const logicalNames = (value: Value): string[] =>
  [...(value.logicalAxes ?? []), ...(value.op === "constrain" ? value.attrs.logicalAxes : [])].flatMap((axis, d) =>
    axis === null ? [] : [parseLogicalAxis(axis, value.type.dims[d] ?? 1).name],
  );

/** By value and dim, the seeds of constraints, of rules and of ZeRO (minor sub-axes). Every sharding comes from a seed. */
export function seedsOfGraph(graph: Graph, options: PropagateOptions): Seed[][][] {
  const ofParameters = new Set(parametersOf(graph).flatMap((p) => logicalNames(p as Value)));
  return graph.values.map((value) => seedsOf(value, options, ofParameters));
}

/** What the user stated: the sharding of an argument, or a constraint in a line of the program. */
const statedCause = ({ name, op, scope }: Value): string =>
  op === "parameter" || scope.line === undefined ? `the stated sharding of ${name}` : `the constraint at ${scope.line}`;

function seedsOf(value: Value, options: PropagateOptions, ofParameters: ReadonlySet<string>): Seed[][] {
  const given = options.constraints?.get(value.name);
  if (given !== undefined) return given.dims.map((atoms) => [{ atoms, priority: Priority.given, cause: statedCause(value) }]);
  const isNamed =
    value.op === "constrain" || value.logicalAxes !== undefined || value.role !== undefined || options.assumed?.has(value.name) === true;
  // No rule applies to a value without logical axes and role, as most values are.
  if (!isNamed) return value.type.dims.map(() => []);
  const byRule = seedsOfRules(options.mesh, options, value, ofParameters);
  const placed = value.type.dims.map((_, d) => byRule[d]?.atoms ?? []);
  const assumed = options.assumed?.get(value.name);
  if (assumed !== undefined)
    return assumed.dims.map((atoms, d) => {
      const own = byRule[d];
      const kept = own !== undefined && own.atoms.every((atom, i) => atoms[i] === atom);
      return [...(kept ? [own] : []), { atoms: kept ? atoms.slice(own.atoms.length) : atoms, priority: Priority.zero, cause: "assumed" }];
    });
  const byZero = seedsOfZero(options.mesh, options.zero, value, placed);
  return value.type.dims.map((_, d) => [byRule[d], byZero[d]].filter((seed) => seed !== undefined));
}
