import { sameDims } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { NodeId, Plan, PlanNode, PlanNodeOf } from "../plan/plan.js";

/** A part of a row: `width` numbers from position `from` of one row to position `to` of another. */
export interface RowPart {
  readonly from: number;
  readonly to: number;
  readonly width: number;
}

/** The last dim that is not 1. */
export const rowLength = ({ type: { dims } }: PlanNode): number => dims.findLast((size) => size !== 1) ?? 1;

/**
 * The nodes that rearrange the rows of one value, as rotary embedding does with halves. Each is a concatenation, along the last dim, of slices of a value
 * with the same dims. `slices` are the slices that only such nodes read.
 */
export function findRearranged(plan: Plan): {
  readonly rows: ReadonlyMap<NodeId, readonly RowPart[]>;
  readonly slices: ReadonlySet<NodeId>;
} {
  const rows = new Map<NodeId, readonly RowPart[]>();
  for (const node of plan.nodes) {
    const parts = node.op === "concatenate" ? partsOf(plan, node) : undefined;
    if (parts !== undefined) rows.set(node.id, parts);
  }
  const slices = new Set([...rows.keys()].flatMap((id) => ensure(plan.nodes[id], "node").inputs));
  for (const { id, inputs } of plan.nodes) if (!rows.has(id)) for (const input of inputs) slices.delete(input);
  for (const { node } of plan.outputs) slices.delete(node);
  // If another node reads a slice of a concatenation, neither the concatenation nor its slices are fused.
  for (let changed = true; changed; ) {
    changed = false;
    for (const id of rows.keys()) {
      const { inputs } = ensure(plan.nodes[id], "node");
      if (inputs.every((input) => slices.has(input))) continue;
      changed = rows.delete(id);
      for (const input of inputs) slices.delete(input);
    }
  }
  return { rows, slices };
}

function partsOf(plan: Plan, { attrs, inputs, type, constant }: PlanNodeOf<"concatenate">): RowPart[] | undefined {
  if (type.dtype !== "f32" || constant) return undefined;
  const { dimension } = attrs;
  if (type.dims.slice(dimension + 1).some((size) => size !== 1)) return undefined;
  const parts: RowPart[] = [];
  const sources = new Set<NodeId>();
  let to = 0;
  for (const id of inputs) {
    const slice = ensure(plan.nodes[id], "operand");
    if (slice.op !== "slice") return undefined;
    const source = ensure(plan.nodes[ensure(slice.inputs[0], "operand")], "operand");
    if (!sameDims(source.type.dims, type.dims)) return undefined;
    if (!slice.type.dims.every((size, d) => d === dimension || size === type.dims[d])) return undefined;
    sources.add(source.id);
    const width = ensure(slice.type.dims[dimension], "dim");
    parts.push({ from: ensure(slice.attrs.start[dimension], "start"), to, width });
    to += width;
  }
  return sources.size === 1 ? parts : undefined;
}
