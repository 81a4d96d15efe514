import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  atomsSize,
  axisAtoms,
  checkMeshFills,
  makeMesh,
  meshSize,
  parseAtoms,
  parseMesh,
  printAtoms,
  printMesh,
  replicaGroup,
  replicaGroups,
  shardIndex,
} from "./index.js";
import { meshes, someAtoms } from "./testing/meshes.js";

describe("meshes", () => {
  it("a mesh is refined into prime atoms, major to minor, whose strides give row-major chip numbers", () => {
    deepStrictEqual(makeMesh({ data: 12, model: 3 }).atoms, [
      { id: 0, axis: "data", size: 2, preSize: 1, stride: 18 },
      { id: 1, axis: "data", size: 2, preSize: 2, stride: 9 },
      { id: 2, axis: "data", size: 3, preSize: 4, stride: 3 },
      { id: 3, axis: "model", size: 3, preSize: 1, stride: 1 },
    ]);
  });

  it("the text of a mesh separates its axes by commas or blanks, with any of them around it", () => {
    const mesh = makeMesh([
      { name: "data", size: 16 },
      { name: "m_2", size: 12 },
    ]);
    for (const text of ["data=16,m_2=12", "data=16 m_2=12", " data=16 ,\n m_2=12, "]) deepStrictEqual(parseMesh(text), mesh);
    strictEqual(printMesh(mesh), "data=16,m_2=12");
    strictEqual(printMesh(mesh, " × "), "data=16 × m_2=12");
    deepStrictEqual(parseMesh(""), { axes: [], atoms: [] });
  });

  it("the text of an axis that is not NAME=SIZE is rejected", () => {
    for (const text of ["data:16", "data=", "=16", "data=16x", "1data=16", "Data=16", "data=1.5"])
      throws(() => parseMesh(`model=2,${text}`), {
        code: "LAP_MESH_TEXT",
        message: `"${text}" is not a mesh axis`,
        location: "mesh",
      });
  });

  it("a mesh rejects names that its text form cannot hold, sizes that are not numbers of chips, and a name given twice", () => {
    for (const name of ["Data", "2d", "data-1", "a=b", "", "über"])
      throws(() => makeMesh({ [name]: 2 }), {
        code: "LAP_MESH_AXIS_NAME",
        message: `"${name}" cannot name a mesh axis`,
        location: "mesh",
      });
    for (const size of [0, -2, 1.5, Number.NaN, 2 ** 20 + 1])
      throws(() => makeMesh({ model: 2, data: size }), {
        code: "LAP_MESH_AXIS_SIZE",
        message: `mesh axis data has size ${size}`,
        location: "mesh.data",
      });
    strictEqual(meshSize(makeMesh({ data: 2 ** 20, model: 1 })), 2 ** 20);
    throws(() => parseMesh("data=2,model=2,data=4"), {
      code: "LAP_MESH_AXIS_TWICE",
      message: "a mesh axis is named twice",
      location: "mesh",
    });
  });

  it("an unknown axis is rejected with the axes of the mesh, and with a near name if there is one", () => {
    const mesh = parseMesh("data=16,model=2");
    throws(() => axisAtoms(mesh, "dta"), {
      code: "LAP_MESH_AXIS_UNKNOWN",
      message: 'the mesh has no axis "dta" (it has data=16,model=2)',
      location: "mesh",
      remedy: 'did you mean "data"?',
    });
    throws(() => axisAtoms(mesh, "sequence", "rules[0]"), { location: "rules[0]", remedy: "name one of the mesh's axes" });
    throws(() => axisAtoms(parseMesh(""), "data"), { message: 'the mesh has no axis "data" (it has none)' });
  });

  it("printed sub-axes parse to the same atoms", () => {
    const mesh = parseMesh("data=16,model=12");
    const model = axisAtoms(mesh, "model");
    deepStrictEqual(printAtoms(mesh, model), ["model"]);
    deepStrictEqual(printAtoms(mesh, model.slice(0, 1)), ["model:(1)2"]);
    deepStrictEqual(printAtoms(mesh, model.slice(1)), ["model:(2)6"]);
    deepStrictEqual(printAtoms(mesh, [...model].reverse()), ["model:(4)3", "model:(2)2", "model:(1)2"]);
    fc.assert(
      fc.property(meshes, fc.integer(), (m, seed) => {
        const atoms = someAtoms(m, seed);
        deepStrictEqual(parseAtoms(m, printAtoms(m, atoms)), atoms);
      }),
    );
  });

  it("a sub-axis names consecutive factors of an axis; any other text is rejected", () => {
    const mesh = parseMesh("d2=4096,model=12");
    deepStrictEqual(parseAtoms(mesh, ["d2:(16)64"]), [4, 5, 6, 7, 8, 9]);
    deepStrictEqual(parseAtoms(mesh, ["model:(1)4", "model:(4)3"]), axisAtoms(mesh, "model"));
    for (const part of [
      "model:(1)3",
      "model:(3)2",
      "model:(3)3",
      "model:(2)5",
      "model:(1)1",
      "model:(12)2",
      "model:(4)6",
      "model:2",
      "model:(1)2x",
      "-model",
    ])
      throws(() => parseAtoms(mesh, [part]), {
        code: "LAP_MESH_SUBAXIS",
        message: `"${part}" is not an axis or sub-axis of d2=4096,model=12`,
        location: "sharding",
      });
    throws(() => parseAtoms(mesh, ["data"]), { code: "LAP_MESH_AXIS_UNKNOWN" });
  });

  it("the index of a shard counts along its atoms, the first one slowest", () => {
    const mesh = parseMesh("data=2,model=3");
    const [data = 0, model = 0] = [...axisAtoms(mesh, "data"), ...axisAtoms(mesh, "model")];
    const indices = (atoms: number[]): number[] => Array.from({ length: 6 }, (_, chip) => shardIndex(mesh, chip, atoms));
    deepStrictEqual(indices([data]), [0, 0, 0, 1, 1, 1]);
    deepStrictEqual(indices([data, model]), [0, 1, 2, 3, 4, 5]);
    deepStrictEqual(indices([model, data]), [0, 2, 4, 1, 3, 5]);
    deepStrictEqual(indices([]), [0, 0, 0, 0, 0, 0]);
  });

  it("the replica group of a chip has the order of the coordinates along the atoms, and is the same for each of its chips", () => {
    const mesh = parseMesh("data=2,model=3");
    const [data, model] = [axisAtoms(mesh, "data"), axisAtoms(mesh, "model")];
    deepStrictEqual(replicaGroup(mesh, 4, model), [3, 4, 5]);
    deepStrictEqual(replicaGroup(mesh, 4, data), [1, 4]);
    deepStrictEqual(replicaGroup(mesh, 4, [...model, ...data]), [0, 3, 1, 4, 2, 5]);
    fc.assert(
      fc.property(meshes, fc.integer(), fc.nat(), (m, seed, n) => {
        const atoms = someAtoms(m, seed);
        const group = replicaGroup(m, n % meshSize(m), atoms);
        deepStrictEqual(
          group.map((chip) => shardIndex(m, chip, atoms)),
          [...group.keys()],
        );
        deepStrictEqual(replicaGroup(m, group.at(-1) ?? 0, atoms), group);
      }),
    );
  });

  it("the replica groups of any atoms partition the chips", () => {
    fc.assert(
      fc.property(meshes, fc.integer(), (mesh, seed) => {
        const atoms = someAtoms(mesh, seed);
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

  it("a mesh that does not fill its slice is rejected, with a mesh that does if a change of one axis gives one", () => {
    checkMeshFills(parseMesh("data=16,model=16"), 256);
    throws(() => checkMeshFills(parseMesh("data=8,model=16"), 256), {
      code: "LAP_MESH_DOES_NOT_FILL",
      exit: 4,
      message: "the mesh data=8,model=16 has 128 chips, its slice 256",
      location: "mesh",
      remedy: "choose axis sizes whose product is 256, such as data=16,model=16, or a slice of 128 chips",
    });
    throws(() => checkMeshFills(parseMesh("data=3,model=16"), 24, "job.mesh"), {
      location: "job.mesh",
      remedy: "choose axis sizes whose product is 24, such as data=3,model=8, or a slice of 48 chips",
    });
    throws(() => checkMeshFills(parseMesh("data=3,model=5"), 16), {
      remedy: "choose axis sizes whose product is 16, or a slice of 15 chips",
    });
  });
});
