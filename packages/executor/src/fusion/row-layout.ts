import { assert, ensure } from "@lapidary/std";
import type { NodeId, Plan } from "../plan/plan.js";
import type { FusionGroup } from "./fusion-group.js";
import { isUniform } from "./uniform.js";

/** Rows of this length fit into the first-level cache with all registers of a typical program. */
const rowTarget = 1024;

/** An operand from outside, in the dims of the member that reads it. */
export interface OutsideOperand {
  readonly held: readonly number[];
  readonly dims: readonly number[];
  layout(outer: readonly number[], columns: number): { readonly strides: number[]; readonly inner: 0 | 1 };
}

export function operandsFromOutside(plan: Plan, group: FusionGroup): Map<NodeId, OutsideOperand> {
  const found = new Map<NodeId, OutsideOperand>();
  const inside = new Set(group.members);
  for (const id of group.members) {
    const node = ensure(plan.nodes[id], "node");
    for (const input of node.inputs) {
      if (inside.has(input) || found.has(input)) continue;
      const held = ensure(plan.nodes[input], "operand").type.dims;
      const dims = node.op === "reduce" || node.op === "slice" ? held : node.type.dims;
      const isRow = group.kinds.get(id) === "row" && node.op !== "reduce";
      found.set(input, { held, dims, layout: (outer, columns) => layoutOf(held, dims, outer, columns, isRow) });
    }
  }
  return found;
}

/** Strides of an operand over the outer dims, and its step inside a row. */
function layoutOf(
  held: readonly number[],
  dims: readonly number[],
  outer: readonly number[],
  columns: number,
  isRow: boolean,
): { strides: number[]; inner: 0 | 1 } {
  // Dims from major to minor as (size, stride). A row value has no columns.
  const strides: { size: number; stride: number }[] = [];
  let step = 1;
  for (let d = dims.length - 1; d >= 0; d--) {
    strides.unshift({ size: dims[d] ?? 1, stride: held[d] === 1 ? 0 : step });
    step *= held[d] ?? 1;
  }
  const wanted = isRow ? [...outer] : [...outer, columns];
  const result: number[] = [];
  let rest = joined(strides.filter(({ size }) => size > 1));
  for (const size of [...wanted].reverse()) {
    if (size === 1) {
      result.unshift(0);
      continue;
    }
    // The dims whose product is this size, from the minor end. A dim may be split.
    let left = size;
    let stride: number | undefined;
    let covered = 1;
    while (left > 1) {
      const last = ensure(rest.at(-1), "dim");
      const part = Math.min(left, last.size);
      assert(last.size % part === 0 && left % part === 0, "cuts are a chain", dims, outer, columns);
      if (stride === undefined) stride = last.stride;
      else assert(last.stride === stride * covered, "neighbouring dims are contiguous in memory", dims, held, outer, columns);
      covered *= part;
      left /= part;
      rest = last.size === part ? rest.slice(0, -1) : [...rest.slice(0, -1), { size: last.size / part, stride: last.stride * part }];
    }
    result.unshift(stride ?? 0);
  }
  if (isRow) return { strides: result, inner: 0 };
  const inner = ensure(result.pop(), "inner");
  assert(inner === 0 || inner === 1 || columns === 1, "a row is contiguous or one number", held, dims, outer, columns);
  return { strides: result, inner: inner === 0 ? 0 : 1 };
}

/** Joins neighbouring dims that are contiguous in memory or both repeat. A row may end inside the joined dim: sizes 128 and 384, row 1024. */
function joined(dims: readonly { size: number; stride: number }[]): { size: number; stride: number }[] {
  const runs: { size: number; stride: number }[] = [];
  for (const { size, stride } of dims) {
    const last = runs.at(-1);
    if (last !== undefined && last.stride === stride * size) runs[runs.length - 1] = { size: last.size * size, stride };
    else runs.push({ size, stride });
  }
  return runs;
}

/** Sizes of the outer dims: the quotients of the cuts that are larger than a row. */
export function outerDims(group: FusionGroup, columns: number): number[] {
  const cuts = group.cuts.filter((cut) => cut > columns && cut % columns === 0);
  const outer: number[] = [];
  let above = group.size;
  for (const cut of [...cuts].reverse()) {
    if (above / cut > 1) outer.push(above / cut);
    above = cut;
  }
  outer.push(above / columns);
  return outer;
}

/** The longest row in which every operand is contiguous or one number. A row that is too long for the cache is split. */
export function chooseColumns(group: FusionGroup, outside: ReadonlyMap<NodeId, OutsideOperand>): number {
  const candidates = [...group.cuts, group.size].sort((a, b) => b - a);
  const columns = candidates.find((cut) => [...outside.values()].every(({ held, dims }) => isUniform(held, dims, cut))) ?? 1;
  if (columns <= 2 * rowTarget) return columns;
  // A divisor near the target.
  for (let size = rowTarget; size > 1; size--) if (columns % size === 0) return size >= 128 ? size : columns;
  return columns;
}
