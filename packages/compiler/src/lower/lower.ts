import { assert, ensure } from "@lapidary/std";
import { type AtomId, type Mesh, type WorkerGrid, atomOf, atomsSize, parseAtoms, printAtoms } from "@lapidary/topology";
import {
  type Graph,
  GraphBuilder,
  type OpName,
  type Sharding,
  type TensorType,
  type Value,
  type ValueId,
  type ValueOf,
  globalDims,
  opDef,
} from "@lapidary/ir";
import type { DimLayout, HostCollective, HostProgram } from "../program.js";

/**
 * Lowers the program of a chip to the program of a worker, which emulates a block of chips in one array (stacked).
 *
 * The block of a value is the global array restricted to the worker's chips. Each stacked dim is merged with the tensor dim that
 * its axis splits. A value that is replicated within the block is stored once, and partial sums are added over the block:
 *
 *     local op                     the same op on block dims: the matmuls of all chips become one matmul
 *     contraction, split in-block  the whole contraction: its all_reduce is removed
 *     collective, in-block axes    removed, because the block contains the gathered (reduced, moved) array
 *     collective, worker axes      kept, over the worker atoms only, with the layout of the dims that it changes
 *     collective_permute           a shift of the block; over worker axes an all_gather, a shift and a shard_slice
 *
 * Block types follow from the sharding without the in-block atoms, so that no table of cases is needed. Tests with the chipwise
 * executor and the interpreter check that both programs compute the same.
 */
export function lower(chip: Graph, grid: WorkerGrid): HostProgram {
  const mesh = ensure(chip.mesh, "mesh");
  assert(chip.level === "chip", "lowering starts from a per-chip program", chip.level);
  const g = new GraphBuilder(chip.name, "host", mesh);
  const to: ValueId[] = [];
  const collectives = new Map<ValueId, HostCollective>();
  const workers = (atoms: readonly AtomId[]): AtomId[] => atoms.filter((id) => grid.atoms.includes(id));

  for (const value of chip.values) {
    const sharding = ensure(value.sharding, "sharding");
    const inputs = value.inputs.map((id) => ensure(to[id], "operand"));
    const dims = blockDims(mesh, grid, globalDims(mesh, value.type.dims, sharding), sharding);
    const type = { dtype: value.type.dtype, dims };
    switch (value.op) {
      case "all_gather":
      case "reduce_scatter":
      case "all_reduce":
      case "all_to_all":
      case "shard_slice": {
        const all = parseAtoms(mesh, value.attrs.axes);
        const atoms = workers(all);
        if (atoms.length === 0) {
          to.push(ensure(inputs[0], "operand"));
          break;
        }
        const before = ensure(ensure(chip.values[ensure(value.inputs[0], "operand")], "operand").sharding, "sharding");
        const made = g.push(value.op, inputs, value.attrs, type, value);
        collectives.set(made.id, { atoms, ...layouts(value, all, before, { mesh, grid }) });
        to.push(made.id);
        break;
      }
      case "collective_permute":
        to.push(lowerPermute(value, g.get(ensure(inputs[0], "operand")), type));
        break;
      default: {
        const attrs = opDef<OpName>(value.op).localize(
          value.attrs,
          inputs.map((id) => g.get(id).type.dims),
          dims,
        );
        to.push(g.push(value.op, inputs, attrs, type, value).id);
      }
    }
  }
  for (const { name, value } of chip.outputs) g.output(name, g.get(ensure(to[value], "output")));
  return { name: chip.name, mesh, grid, graph: g.finish(), collectives };

  /** The shift of a block that is the whole dim. If workers split the dim, each gathers it, shifts it and keeps its part. */
  function lowerPermute(value: ValueOf<"collective_permute">, operand: Value, type: TensorType): ValueId {
    const { dimension, by, wrap } = value.attrs;
    const sharding = ensure(value.sharding, "sharding");
    const all = sharding.dims[dimension] ?? [];
    const atoms = workers(all);
    if (atoms.length === 0) return g.push("shift", [operand.id], { dimension, by, wrap }, type, value).id;
    const whole = { ...sharding, dims: sharding.dims.map((list, d) => (d === dimension ? [] : list)) };
    const wholeType = { ...type, dims: type.dims.map((size, d) => (d === dimension ? size * atomsSize(mesh, atoms) : size)) };
    const axes = { axes: printAtoms(mesh, atoms), size: atomsSize(mesh, atoms), dimension };
    const layout = dimLayout(dimension, [], all, value.type.dims[dimension] ?? 0, { mesh, grid });
    const gathered = g.push("all_gather", [operand.id], axes, wholeType, { ...value, sharding: whole });
    collectives.set(gathered.id, { atoms, gather: layout });
    const shifted = g.push("shift", [gathered.id], { dimension, by, wrap }, wholeType, { ...value, sharding: whole });
    const own = g.push("shard_slice", [shifted.id], axes, type, value);
    collectives.set(own.id, { atoms, split: layout });
    return own.id;
  }
}

/** A dim as factors of the block and of the workers: `prefix`, then `all` sub-axes, then `local` elements. */
function dimLayout(
  dimension: number,
  prefix: readonly AtomId[],
  all: readonly AtomId[],
  local: number,
  { mesh, grid }: { readonly mesh: Mesh; readonly grid: WorkerGrid },
): DimLayout {
  return {
    dimension,
    factors: mergeFactors([
      ...[...prefix].filter((id) => !grid.atoms.includes(id)).map((id) => ({ size: atomOf(mesh, id).size, worker: false })),
      ...all.map((id) => ({ size: atomOf(mesh, id).size, worker: grid.atoms.includes(id) })),
      { size: local, worker: false },
    ]),
  };
}

/** The dims that a collective over worker axes changes, as factors of the block and of the workers. */
function layouts(
  value: Value,
  all: readonly AtomId[],
  before: Sharding,
  { mesh, grid }: { readonly mesh: Mesh; readonly grid: WorkerGrid },
): { gather?: DimLayout; split?: DimLayout } {
  const layout = (dimension: number, prefix: readonly AtomId[], local: number): DimLayout =>
    dimLayout(dimension, prefix, all, local, { mesh, grid });
  const own = ensure(value.sharding, "sharding");
  switch (value.op) {
    case "all_gather":
      return {
        gather: layout(
          value.attrs.dimension,
          own.dims[value.attrs.dimension] ?? [],
          (value.type.dims[value.attrs.dimension] ?? 0) / value.attrs.size,
        ),
      };
    case "reduce_scatter":
    case "shard_slice":
      return {
        split: layout(value.attrs.dimension, before.dims[value.attrs.dimension] ?? [], value.type.dims[value.attrs.dimension] ?? 0),
      };
    case "all_to_all":
      return {
        split: layout(
          value.attrs.splitDimension,
          before.dims[value.attrs.splitDimension] ?? [],
          value.type.dims[value.attrs.splitDimension] ?? 0,
        ),
        gather: layout(
          value.attrs.concatDimension,
          own.dims[value.attrs.concatDimension] ?? [],
          (value.type.dims[value.attrs.concatDimension] ?? 0) / value.attrs.size,
        ),
      };
    default:
      return {};
  }
}

/** Dims of a worker's block, which only the worker atoms divide. */
function blockDims(mesh: Mesh, grid: WorkerGrid, dims: readonly number[], sharding: Sharding): number[] {
  return dims.map(
    (size, d) =>
      size /
      atomsSize(
        mesh,
        (sharding.dims[d] ?? []).filter((id) => grid.atoms.includes(id)),
      ),
  );
}

/** Merges adjacent factors that are inside the block. */
function mergeFactors(factors: DimLayout["factors"]): DimLayout["factors"] {
  const merged: { size: number; worker: boolean }[] = [];
  for (const factor of factors) {
    const last = merged.at(-1);
    if (last !== undefined && !last.worker && !factor.worker) last.size *= factor.size;
    else merged.push({ ...factor });
  }
  return merged;
}

/**
 * Global positions of a worker's block along a dim of `size` split by `atoms`, ascending. Their coordinates along the worker
 * atoms are those of the worker.
 *
 * @param coordinate the worker's coordinate along a worker atom
 */
export function blockPositions(
  mesh: Mesh,
  grid: WorkerGrid,
  size: number,
  atoms: readonly AtomId[],
  coordinate: (id: AtomId) => number,
): Int32Array {
  let positions: number[] = [0];
  let rest = size;
  for (const id of atoms) {
    const parts = atomOf(mesh, id).size;
    rest /= parts;
    const indices = grid.atoms.includes(id) ? [coordinate(id)] : Array.from({ length: parts }, (_, i) => i);
    positions = positions.flatMap((at) => indices.map((i) => at * parts + i));
  }
  return Int32Array.from(positions.flatMap((at) => Array.from({ length: rest }, (_, i) => at * rest + i)));
}
