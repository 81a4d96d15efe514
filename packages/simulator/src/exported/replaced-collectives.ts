import type { Value } from "@lapidary/ir";
import { type Torus, chipCount } from "@lapidary/topology";

/**
 * Whether the TPU compiler replaces a reduce_scatter by an all_reduce, of which each chip takes its shard where it reads it. Compiled programs of one
 * reduce_scatter show when it does: if a single group has all chips of a slice whose dims are equal (4x4, 8x8, 16x16), or of a slice with three dims.
 * It keeps the reduce_scatter of every smaller group, of slices such as 4x8, and of several slices. On 2x2 it sends shards in two rounds.
 */
export function isReplacedByAllReduce(value: Value, torus: Torus): boolean {
  if (value.op !== "reduce_scatter" || value.attrs.size !== chipCount(torus)) return false;
  const dims = torus.dims.filter((length) => length > 1);
  return dims.length === 3 || (dims.length === 2 && dims[0] === dims[1] && (dims[0] ?? 0) > 2);
}
