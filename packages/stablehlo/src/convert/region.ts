import type { MeshAxis } from "./sharding.js";

/**
 * A value of a manual region that differs from chip to chip has a leading dim for each manual axis along which it differs:
 *
 *     in the text     f32[2,32]                on each of 4 stages
 *     in the graph    f32[4,2,32]              split over stage in its first dim
 *
 * So the partitioner places it as the user wrote it, and an operation of the region is the same operation with leading batch dims.
 */
export interface Lead {
  readonly axis: string;
  readonly size: number;
}

/** A `shard_map` region during its conversion. */
export interface ManualRegion {
  /** Its manual axes, in the order of the mesh. */
  readonly axes: readonly Lead[];
  /** All axes of the mesh, which number the chips in row-major order. */
  readonly mesh: readonly MeshAxis[];
}
