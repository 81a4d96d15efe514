import { type Mesh, type MeshAxis, atomOf, atomsSize, axisAtoms } from "@lapidary/topology";
import type { Graph } from "@lapidary/ir";
import type { PropagateOptions, Shortfall } from "./propagated.js";
import { Priority, type Seed } from "./rules.js";
import { seedsOfGraph } from "./seeds.js";

/** The shortfalls of a graph's seeds, in the order of its values. */
export function findShortfalls(mesh: Mesh, seeds: readonly (readonly (readonly Seed[])[])[]): Shortfall[] {
  return seeds.flatMap((dims, value) => {
    const parts = atomsSize(mesh, [...new Set(dims.flat().flatMap(({ atoms }) => atoms))]);
    const zero = dims.flat().flatMap(({ priority, atoms }) => (priority === Priority.zero ? atoms : []));
    return dims.flatMap((list, dimension) =>
      list.flatMap((seed): Shortfall[] => {
        const { wanted, logical, units, cause, holder } = seed;
        if (wanted === undefined || units === undefined) return [];
        const taken = holder !== undefined ? [] : logical === undefined ? zero : seed.atoms;
        if (taken.length === wanted.length) return [];
        const optional = { ...(logical === undefined ? {} : { logical }), ...(holder === undefined ? {} : { holder }) };
        return [{ value, dimension, cause, wanted, taken, units, parts, ...optional }];
      }),
    );
  });
}

/** The parts of a mesh that rules and ZeRO do not use. */
export interface UnusedMesh {
  /** Axes of more than one chip that split no value: all chips along them compute the same. */
  readonly idle: readonly MeshAxis[];
  readonly shortfalls: readonly Shortfall[];
}

/**
 * The parts of a mesh that a step does not use, from its traced graph. Every sharding comes from a seed, so that an axis without
 * a seed splits no value of the compiled step. A seed of a param or of the batch is always applied.
 *
 * @throws LapidaryError for rules that contradict one another
 */
export function findUnusedMesh(graph: Graph, options: PropagateOptions): UnusedMesh {
  const seeds = seedsOfGraph(graph, options);
  const used = new Set(seeds.flat(2).flatMap((seed) => (seed.holder === undefined ? seed.atoms : [])));
  const { mesh } = options;
  return {
    idle: mesh.axes.filter(({ name, size }) => size > 1 && !axisAtoms(mesh, name).some((atom) => used.has(atom))),
    shortfalls: findShortfalls(mesh, seeds),
  };
}

/** Why a dim is split less than requested: `256001 is not divisible by any part of model=16`. */
export function shortfallReason(
  mesh: Mesh,
  { wanted, taken, units, holder, logical }: Omit<Shortfall, "value" | "dimension" | "cause" | "parts">,
): string {
  const axes = [...new Set(wanted.map((id) => atomOf(mesh, id).axis))];
  const all = `${axes.join("×")} = ${atomsSize(
    mesh,
    axes.flatMap((axis) => axisAtoms(mesh, axis)),
  )}`;
  if (holder !== undefined) return `${axes.join("+")} is taken by ${holder}`;
  if (taken.length === 0) return `${units} is not divisible by any part of ${all}`;
  const part = atomsSize(mesh, taken);
  if (logical === undefined) return `only ${part} of ${all} divide its dims`;
  return `${units} is divisible by only ${part} of ${all}: ${atomsSize(mesh, wanted) / part} chips hold the same part`;
}

/** The size of a dim that the request would divide: the least multiple of the requested parts that is not below the units. */
export function dividingSize(mesh: Mesh, { wanted, units }: Pick<Shortfall, "wanted" | "units">): number {
  const parts = atomsSize(mesh, wanted);
  return Math.ceil(units / parts) * parts;
}
