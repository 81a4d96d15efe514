import type { Value } from "@lapidary/ir";
import { type Torus, chipCount } from "@lapidary/topology";
import type { AttentionForm } from "../cost/attention.js";
import type { Placement } from "../network/placement.js";

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

/** The collective that runs in place of a value. A step with plain attention is the exported step, whose collectives the TPU compiler may replace. */
export const replacementOf = (
  value: Value,
  { slice, pods }: Pick<Placement, "slice" | "pods">,
  attention: AttentionForm,
): "all_reduce" | undefined => (attention === "plain" && pods === 1 && isReplacedByAllReduce(value, slice) ? "all_reduce" : undefined);
