import { LapidaryError } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, atomsSize, meshSize, shardIndex } from "./mesh.js";

/**
 * The most major atoms of a mesh determine the worker of a chip. With `data=16,model=16` and 2 workers, the atom data:(1)2
 * is the worker number. Worker 0 emulates data coordinates 0–7, worker 1 8–15, each with all of model: a rectangle of the torus.
 *
 *     worker 0 │ data 0..7  × model 0..15        worker atoms: data:(1)2
 *     worker 1 │ data 8..15 × model 0..15        in-block atoms: all others
 */
export interface WorkerGrid {
  readonly workers: number;
  /** The atoms whose coordinates give the worker number, major to minor. */
  readonly atoms: readonly AtomId[];
}

/**
 * The grid of `workers` over a mesh: the longest list of leading atoms whose product is at most `workers`. The number
 * of workers is rounded down to that product.
 */
export function makeWorkerGrid(mesh: Mesh, workers: number): WorkerGrid {
  if (!Number.isInteger(workers) || workers < 1)
    throw new LapidaryError({
      code: "LAP_WORKERS",
      message: `${workers} is not a number of workers`,
      location: "workers",
    });
  const atoms: AtomId[] = [];
  let count = 1;
  for (const atom of mesh.atoms) {
    if (count * atom.size > workers) break;
    atoms.push(atom.id);
    count *= atom.size;
  }
  return { workers: count, atoms };
}

/** The worker that emulates a chip. */
export const workerOfChip = (mesh: Mesh, grid: WorkerGrid, chip: number): number => shardIndex(mesh, chip, grid.atoms);

/** Coordinate of worker number `worker` along one of the grid's atoms. */
export function workerCoordinate(mesh: Mesh, grid: WorkerGrid, worker: number, id: AtomId): number {
  const at = grid.atoms.indexOf(id);
  const minor = atomsSize(mesh, grid.atoms.slice(at + 1));
  return Math.floor(worker / minor) % atomOf(mesh, id).size;
}

/** The workers that differ from `worker` only along `atoms` (atoms of the grid), in the order of their coordinates. */
export function workerGroup(mesh: Mesh, grid: WorkerGrid, worker: number, atoms: readonly AtomId[]): number[] {
  let group = [atoms.reduce((w, id) => w - workerCoordinate(mesh, grid, worker, id) * workerStride(mesh, grid, id), worker)];
  for (const id of atoms)
    group = group.flatMap((w) => Array.from({ length: atomOf(mesh, id).size }, (_, i) => w + i * workerStride(mesh, grid, id)));
  return group;
}

const workerStride = (mesh: Mesh, grid: WorkerGrid, id: AtomId): number => atomsSize(mesh, grid.atoms.slice(grid.atoms.indexOf(id) + 1));

/** The chips that a worker emulates, ascending. */
export function chipsOfWorker(mesh: Mesh, grid: WorkerGrid, worker: number): number[] {
  return Array.from({ length: meshSize(mesh) }, (_, chip) => chip).filter((chip) => workerOfChip(mesh, grid, chip) === worker);
}
