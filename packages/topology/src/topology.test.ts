import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  atomsSize,
  axisAtoms,
  checkMeshFills,
  chipCoordinates,
  makeMesh,
  makeWorkerGrid,
  meshSize,
  parseAtoms,
  parseMesh,
  parseTorus,
  placeSlice,
  printAtoms,
  printMesh,
  replicaGroups,
  slicesOverlap,
  workerGroup,
  workerOfChip,
} from "./index.js";
import { chipsOfWorker } from "./blocks.js";
import { chipNumber } from "./torus.js";

const meshes = fc
  .array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 4 })
  .map((sizes) => makeMesh(sizes.map((size, i) => ({ name: `a${i}`, size }))));

describe("topology", () => {
  it("chip numbers are row-major and convert to coordinates and back", () => {
    const torus = parseTorus("4x3");
    for (let chip = 0; chip < 12; chip++) strictEqual(chipNumber(torus, chipCoordinates(torus, chip)), chip);
    deepStrictEqual(chipCoordinates(torus, 5), [1, 2]);
  });

  it("printed meshes and sub-axes parse to the same values", () => {
    const mesh = parseMesh("data=16,model=12");
    strictEqual(printMesh(mesh), "data=16,model=12");
    deepStrictEqual(printAtoms(mesh, axisAtoms(mesh, "model")), ["model"]);
    deepStrictEqual(printAtoms(mesh, axisAtoms(mesh, "model").slice(1)), ["model:(2)6"]);
    fc.assert(
      fc.property(meshes, fc.integer(), (m, seed) => {
        const atoms = m.atoms.map((a) => a.id).filter((id) => ((seed >> (id % 31)) & 1) === 1);
        deepStrictEqual(parseAtoms(m, printAtoms(m, atoms)), atoms);
      }),
    );
  });

  it("the replica groups of any atoms partition the chips", () => {
    fc.assert(
      fc.property(meshes, fc.integer(), (mesh, seed) => {
        const atoms = mesh.atoms.map((a) => a.id).filter((id) => ((seed >> (id % 31)) & 1) === 1);
        const groups = replicaGroups(mesh, atoms);
        deepStrictEqual(
          groups.flat().sort((a, b) => a - b),
          Array.from({ length: meshSize(mesh) }, (_, i) => i),
        );
        for (const group of groups) strictEqual(group.length, atomsSize(mesh, atoms));
      }),
      { numRuns: 50 },
    );
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
        strictEqual(workerGroup(mesh, grid, 0, grid.atoms).length, grid.workers);
        strictEqual(workerOfChip(mesh, grid, 0), 0);
      }),
      { numRuns: 50 },
    );
  });

  it("placeSlice places two halves of a pod next to each other, and rejects a third slice", () => {
    const pod = parseTorus("16x16");
    const a = placeSlice(pod, [8, 16], []);
    strictEqual(a !== undefined, true);
    const b = placeSlice(pod, [8, 16], a === undefined ? [] : [a]);
    deepStrictEqual(b?.origin, [8, 0]);
    if (a === undefined || b === undefined) throw new Error("not placed");
    strictEqual(slicesOverlap(a, b), false);
    strictEqual(placeSlice(pod, [4, 4], [a, b]), undefined);
  });

  it("a mesh that does not fill its slice is rejected with a mesh that does", () => {
    throws(
      () => checkMeshFills(parseMesh("data=8,model=16"), 256),
      (e: Error & { code?: string; exit?: number; remedy?: string }) =>
        e.code === "LAP_MESH_DOES_NOT_FILL" && e.exit === 4 && (e.remedy ?? "").includes("data=16,model=16"),
    );
    throws(
      () => parseMesh("data:16"),
      (e: Error & { code?: string }) => e.code === "LAP_MESH_TEXT",
    );
    throws(
      () => axisAtoms(parseMesh("data=16"), "dta"),
      (e: Error & { remedy?: string }) => (e.remedy ?? "").includes("data"),
    );
    throws(() => parseTorus("16by16"));
  });
});
