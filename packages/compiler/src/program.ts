import type { Graph, ValueId } from "@lapidary/ir";
import type { MemoryPlan } from "./memory/index.js";
import type { Schedule } from "./schedule/index.js";
import type { Propagated } from "./propagate/index.js";
import type { RematPolicy } from "./rematerialize/index.js";
import type { AtomId, Mesh, WorkerGrid } from "@lapidary/topology";

/**
 * A compiled step: what the workers run, the simulator times, `explain` explains.
 * `global` is the graph after propagation (a sharding for every value), `chip` the per-chip program with explicit collectives.
 */
export interface Program {
  readonly name: string;
  readonly mesh: Mesh;
  readonly global: Graph;
  readonly chip: Graph;
  /** In which order values are computed, and when collectives start. */
  readonly schedule: Schedule;
  /** A chip's buffers over the step. */
  readonly memory: MemoryPlan;
  /** What the backward pass computes again, and what rests on the host meanwhile. */
  readonly remat: RematPolicy;
  /** Where every sharding comes from, and which claims lost: what `explain` tells. */
  readonly propagated: Propagated;
}

/**
 * The same program for a block of chips: every worker of the grid runs it on its block. Types are block dims, shardings are still
 * those over all atoms. Collectives inside a block are gone; those that cross a worker's edge are described in `collectives`.
 */
export interface HostProgram {
  readonly name: string;
  readonly mesh: Mesh;
  readonly grid: WorkerGrid;
  readonly graph: Graph;
  /** For every collective left in `graph`. */
  readonly collectives: ReadonlyMap<ValueId, HostCollective>;
}

/**
 * What a collective means between workers. The group of worker w is `workerGroup(mesh, grid, w, atoms)`, in order.
 *
 *     all_gather      out = gather layout filled with every member's array
 *     reduce_scatter  out = sum over members of their arrays, this worker's part of the split layout
 *     all_reduce      out = sum (max, min) over members
 *     all_to_all      this worker's part of the split layout of every member's array, placed by the gather layout
 *     shard_slice     this worker's part of the split layout: no communication
 */
export interface HostCollective {
  /** Worker atoms of the collective, major to minor: the members of a group are numbered by their coordinates along them. */
  readonly atoms: readonly AtomId[];
  readonly gather?: DimLayout;
  readonly split?: DimLayout;
}

/**
 * How a whole block dim is made of worker parts: `factors` major to minor, their product is the whole dim. Worker factors appear in the
 * order of `HostCollective.atoms`; a member holds the elements whose worker-factor indices are its coordinates.
 *
 *     dim [model=16, data:(1)2 (worker), data:(2)8, 4]  →  factors 16, 2w, 32
 */
export interface DimLayout {
  readonly dimension: number;
  readonly factors: readonly { readonly size: number; readonly worker: boolean }[];
}
