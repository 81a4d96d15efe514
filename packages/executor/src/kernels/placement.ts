import { blockPositions } from "@lapidary/compiler";
import type { BlockLayout } from "@lapidary/protocol";
import { workerCoordinate } from "@lapidary/topology";

/** The positions of the elements of a part of an array in the whole array. */
export interface Placement {
  /** Positions of the part's elements along `dim` of the whole array, ascending. */
  positions(dim: number): Int32Array;
  /** Size of the whole dim. */
  wholeSize(dim: number): number;
}

/** The placement of a part that is the whole array. */
export const wholePlacement = (dims: readonly number[]): Placement => ({
  positions: (dim) => Int32Array.from({ length: dims[dim] ?? 1 }, (_, i) => i),
  wholeSize: (dim) => dims[dim] ?? 1,
});

/** The block of a worker. If the grid has all sub-axes, a worker is a chip, and its block the shard of the chip. */
export function blockPlacement({ mesh, grid, worker, dims, sharding }: BlockLayout): Placement {
  return {
    positions: (dim) =>
      blockPositions(mesh, grid, dims[dim] ?? 1, sharding.dims[dim] ?? [], (atom) => workerCoordinate(mesh, grid, worker, atom)),
    wholeSize: (dim) => dims[dim] ?? 1,
  };
}

/** Whether positions are consecutive. */
export const isContiguous = (positions: Int32Array): boolean =>
  positions.length === 0 || (positions.at(-1) ?? 0) - (positions[0] ?? 0) === positions.length - 1;
