import type { Graph, ValueId } from "@lapidary/ir";
import type { MemoryPlan } from "./memory/index.js";
import type { Schedule } from "./schedule/index.js";
import type { Propagated } from "./propagate/index.js";
import type { RematPolicy } from "./rematerialize/index.js";
import type { AtomId, Mesh, WorkerGrid } from "@lapidary/topology";

/**
 * A compiled step. Workers run it, the simulator predicts its time, and `explain` describes it.
 * `global` is the graph after propagation, with a sharding for every value. `chip` is the per-chip program with collectives.
 */
export interface Program {
  readonly name: string;
  readonly mesh: Mesh;
  readonly global: Graph;
  readonly chip: Graph;
  /** The order of execution, and the starts of collectives. */
  readonly schedule: Schedule;
  /** A chip's buffers over the step. Computed when it is read first, because the simulator plans the memory with types and fusion of its own. */
  readonly memory: MemoryPlan;
  /** Decides which values the backward pass recomputes, and which values the host stores between the passes. */
  readonly remat: RematPolicy;
  /** The origin of every sharding, and the claims that lost. `explain` prints both. */
  readonly propagated: Propagated;
}

/**
 * The same program for a block of chips: every worker of the grid runs it on its block. Types have block dims, and shardings
 * are over all atoms. Collectives inside a block are removed; `collectives` describes those between workers.
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
 * A collective between workers. The group of worker w is `workerGroup(mesh, grid, w, atoms)`, in order.
 *
 *     all_gather      out = gather layout, filled with the arrays of all members
 *     reduce_scatter  out = this worker's part, in the split layout, of the sum over members
 *     all_reduce      out = sum (max, min) over members
 *     all_to_all      out = gather layout, filled with this worker's part, in the split layout, of the arrays of all members
 *     shard_slice     out = this worker's part, in the split layout, of its own array: no communication
 */
export interface HostCollective {
  /** Worker atoms of the collective, major to minor. The coordinates along them number the members of a group. */
  readonly atoms: readonly AtomId[];
  readonly gather?: DimLayout;
  readonly split?: DimLayout;
}

/**
 * The factors of a whole block dim, major to minor. Their product is the size of the dim. Worker factors have the order of
 * `HostCollective.atoms`. A member has the elements whose indices along the worker factors are its coordinates.
 *
 *     dim [model=16, data:(1)2 (worker), data:(2)8, 4]  →  factors 16, 2w, 32
 */
export interface DimLayout {
  readonly dimension: number;
  readonly factors: readonly { readonly size: number; readonly worker: boolean }[];
}
