import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { chipsOfWorker } from "./blocks.js";
import { makeWorkerGrid, meshSize, parseMesh, workerCoordinate, workerGroup, workerOfChip } from "./index.js";
import { meshes } from "./testing/meshes.js";

describe("blocks of workers", () => {
  it("the workers are the leading atoms of the mesh, as many as their number allows", () => {
    const mesh = parseMesh("data=12,model=4");
    const grids = [1, 2, 3, 4, 11, 12, 24, 100].map((workers) => makeWorkerGrid(mesh, workers));
    deepStrictEqual(
      grids.map(({ workers }) => workers),
      [1, 2, 2, 4, 4, 12, 24, 48],
    );
    deepStrictEqual(grids[4]?.atoms, [0, 1]);
  });

  it("a number of workers that is not a positive whole number is rejected", () => {
    for (const workers of [0, -1, 1.5, Number.NaN])
      throws(() => makeWorkerGrid(parseMesh("data=4"), workers), {
        code: "LAP_WORKERS",
        message: `${workers} is not a number of workers`,
        location: "workers",
      });
  });

  it("every chip belongs to one worker, and all workers have equal blocks", () => {
    fc.assert(
      fc.property(meshes, fc.integer({ min: 1, max: 9 }), (mesh, wanted) => {
        const grid = makeWorkerGrid(mesh, wanted);
        const blocks = Array.from({ length: grid.workers }, (_, w) => chipsOfWorker(mesh, grid, w));
        deepStrictEqual(
          blocks.flat().sort((a, b) => a - b),
          Array.from({ length: meshSize(mesh) }, (_, i) => i),
        );
        strictEqual(new Set(blocks.map((b) => b.length)).size, 1);
        for (const [worker, chips] of blocks.entries())
          deepStrictEqual(
            chips.map((chip) => workerOfChip(mesh, grid, chip)),
            chips.map(() => worker),
          );
      }),
      { numRuns: 50 },
    );
  });

  it("the coordinates of a worker are those of its chips, and its group differs from it along the atoms of the group only", () => {
    const mesh = parseMesh("data=6,model=4");
    const grid = makeWorkerGrid(mesh, 6);
    deepStrictEqual(grid.atoms, [0, 1]);
    const coordinates = (atom: number): number[] => Array.from({ length: 6 }, (_, worker) => workerCoordinate(mesh, grid, worker, atom));
    deepStrictEqual(coordinates(0), [0, 0, 0, 1, 1, 1]);
    deepStrictEqual(coordinates(1), [0, 1, 2, 0, 1, 2]);
    deepStrictEqual(workerGroup(mesh, grid, 4, [0]), [1, 4]);
    deepStrictEqual(workerGroup(mesh, grid, 4, [1]), [3, 4, 5]);
    deepStrictEqual(workerGroup(mesh, grid, 4, [0, 1]), [0, 1, 2, 3, 4, 5]);
    deepStrictEqual(workerGroup(mesh, grid, 4, [1, 0]), [0, 3, 1, 4, 2, 5]);
    deepStrictEqual(workerGroup(mesh, grid, 4, []), [4]);
  });
});
