import type { Sharding } from "@lapidary/ir";
import type { Mesh, WorkerGrid } from "@lapidary/topology";
import type { WorkerRank } from "./ids.js";

/** A mesh and the grid of workers over it. All arrays of a worker group have the same. */
export interface GroupLayout {
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
}

/** How a worker group splits a whole array. */
export interface ArrayLayout extends GroupLayout {
  /** Of the whole array. */
  readonly dims: readonly number[];
  readonly sharding: Sharding;
}

/** The shard block of one worker: which part of a whole array it has. */
export interface BlockLayout extends ArrayLayout {
  readonly worker: WorkerRank;
}

/** How a worker group splits an array. */
export const arrayLayout = (
  { mesh, grid }: GroupLayout,
  { dims, sharding }: { readonly dims: readonly number[]; readonly sharding: Sharding },
): ArrayLayout => ({ mesh, grid, dims, sharding });

/** The block of one worker. */
export const blockOf = (layout: ArrayLayout, worker: WorkerRank): BlockLayout => ({ ...layout, worker });
