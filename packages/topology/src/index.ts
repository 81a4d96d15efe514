export { type WorkerGrid, makeWorkerGrid, workerCoordinate, workerGroup, workerOfChip } from "./blocks.js";
export {
  type Atom,
  type AtomId,
  type Mesh,
  type MeshAxis,
  atomCoordinate,
  atomOf,
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
} from "./mesh.js";
export { type Torus, chipCoordinates, chipCount, parseTorus, placeSlice, printTorus, slicesOverlap } from "./torus.js";
