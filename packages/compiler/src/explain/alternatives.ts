import { LapidaryError, ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, axisAtoms } from "@lapidary/topology";
import { type Graph, type Sharding, type Value, bytesOf, printSharding, runsOf } from "@lapidary/ir";
import { optimize } from "../optimize/index.js";
import { bytesPerChip, partition } from "../partition/index.js";
import { propagate } from "../propagate/index.js";
import type { CompileOptions } from "../compile.js";
import type { Program } from "../program.js";
import { collectivesOf } from "../report/index.js";
import { findValue } from "./find-value.js";

/** A possible sharding of a value. */
export interface Alternative {
  readonly sharding: string;
  /** Bytes of a chip's part of the value. */
  readonly bytes_per_chip: number;
  /** Bytes that a chip receives in one gather of the whole value. */
  readonly gather_bytes_per_chip: number;
  readonly chosen: boolean;
}

const maxAlternatives = 8;

/**
 * At most eight shardings: the chosen one; then those with its axes on other dims, those with an unused axis on a dim that the axis
 * divides, and the replicated one.
 */
export function alternativesOf(mesh: Mesh, value: Value): (Alternative & { readonly dims: Sharding["dims"] })[] {
  const chosen = ensure(value.sharding, "sharding").dims;
  if (value.type.dims.length === 0) return [];
  const found = new Map<string, Sharding["dims"]>();
  const consider = (dims: readonly (readonly AtomId[])[]): void => {
    const fits = value.type.dims.every((size, d) => size % atomsSize(mesh, dims[d] ?? []) === 0);
    if (fits && found.size < maxAlternatives) found.set(printSharding(mesh, { dims, unreduced: [], reduction: "sum" }), dims);
  };
  consider(chosen);
  chosen.forEach((moved, from) => {
    if (moved.length > 0)
      value.type.dims.forEach(
        (_, onto) => onto !== from && consider(chosen.map((atoms, d) => (d === from ? [] : d === onto ? [...atoms, ...moved] : atoms))),
      );
  });
  const used = new Set(chosen.flat());
  for (const axis of mesh.axes) {
    const atoms = axisAtoms(mesh, axis.name);
    if (axis.size > 1 && !atoms.some((atom) => used.has(atom)))
      value.type.dims.forEach((_, onto) => consider(chosen.map((own, d) => (d === onto ? [...own, ...atoms] : own))));
  }
  // Every use gathers a computed value as it needs it, so that a replicated computed value is not a separate choice.
  if (value.op === "parameter" || value.role !== undefined) consider(chosen.map(() => []));
  return [...found].map(([sharding, dims], i) => {
    const parts = atomsSize(mesh, dims.flat());
    const bytes = bytesOf(value.type);
    return { sharding, dims, bytes_per_chip: bytes / parts, gather_bytes_per_chip: (bytes * (parts - 1)) / parts, chosen: i === 0 };
  });
}

/**
 * The cost of each alternative of a value, by the text of the alternative: the bytes that a chip sends in a step of the program
 * that is compiled with this sharding of the value. All other shardings follow by propagation.
 *
 * A state is only stored in the sharding: its gradient and moments keep theirs, and the update moves what differs. An op computes
 * its result in the sharding. An alternative that contradicts a given sharding is absent.
 *
 * @param options the options with which `program` was compiled
 */
export function costsOfAlternatives(program: Program, options: CompileOptions, name: string): ReadonlyMap<string, number> {
  const { mesh } = program;
  const value = findValue(program, name);
  const isState = value.role === "param" || value.role === "optimizer" || value.role === "gradient";
  const unique = isState ? value.name : `${value.name} (explained)`;
  const graph: Graph = {
    ...program.global,
    values: program.global.values.map((v) => (v.id === value.id ? ({ ...v, name: unique } as Value) : v)),
  };
  const costs = new Map<string, number>();
  for (const { sharding, dims, chosen } of alternativesOf(mesh, value)) {
    if (chosen) {
      costs.set(sharding, bytesOfStep(program.chip));
      continue;
    }
    try {
      const other = new Map([[unique, { dims, unreduced: [], reduction: "sum" } satisfies Sharding]]);
      const given = isState ? { assumed: other } : { constraints: new Map([...(options.constraints ?? []), ...other]) };
      const perChip = partition(propagate(graph, { ...options, ...given }), mesh, options);
      costs.set(sharding, bytesOfStep(optimize(perChip, options)));
    } catch (error) {
      if (!(error instanceof LapidaryError)) throw error;
    }
  }
  return costs;
}

const bytesOfStep = (chip: Graph): number =>
  collectivesOf(chip).reduce(
    (sum, v) => sum + runsOf(v) * bytesPerChip(v, ensure(chip.values[ensure(v.inputs[0], "operand")], "operand")),
    0,
  );
