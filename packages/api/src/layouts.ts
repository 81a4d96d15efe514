/**
 * Readers of the layouts that API values contain as text: meshes (`data=2,model=4`) and shardings. Clients of the API use them to find the shard of each chip:
 * `@lapidary/api/layouts`.
 */
export { parseSharding, type Sharding } from "@lapidary/ir";
export {
  type AtomId,
  atomsSize,
  axisAtoms,
  type Mesh,
  meshSize,
  parseAtoms,
  parseMesh,
  replicaGroup,
  replicaGroups,
  shardIndex,
} from "@lapidary/topology";
