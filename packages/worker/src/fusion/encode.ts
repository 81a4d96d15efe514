import { sizeOf } from "@lapidary/ir";
import { type OpcodeName, opcodeOf } from "@lapidary/native";
import { assert, must } from "@lapidary/std";
import type { NodeId, Plan, PlanNode } from "../plan/plan.js";
import type { FusionGroup } from "./groups.js";
import type { RowPart } from "./rearranged.js";
import { isUniform } from "./uniform.js";

/** A group as one call: its operands and results as nodes of the plan, and the program as the native op reads it. */
export interface FusedCall {
  readonly group: FusionGroup;
  /** Operands: floats, then integers, then booleans. */
  readonly inputs: readonly NodeId[];
  readonly counts: { readonly floats: number; readonly ints: number; readonly bools: number };
  readonly outputs: readonly NodeId[];
  readonly code: Int32Array;
  readonly constants: Float32Array;
}

/** The node that a chain of views begins with: the same numbers in memory, which is all that a call looks at. */
export function rootOf(plan: Plan, id: NodeId): NodeId {
  const node = must(plan.nodes[id], "node");
  return node.op === "reshape" && !node.constant ? rootOf(plan, must(node.inputs[0], "operand")) : id;
}

const place = { register: 0, input: 1, constant: 2 } as const;
const outputKind = { full: 0, row: 1, columns: 2, one: 3 } as const;

/** Rows of this many numbers stay in the first-level cache with all registers of a usual program. */
const rowTarget = 1024;

interface Operand {
  readonly place: number;
  readonly index: number;
}

interface Instruction {
  readonly code: OpcodeName;
  readonly destination: number;
  readonly output: number;
  readonly operands: readonly Operand[];
  /** Of `rearrange`: what of a row goes where. */
  readonly parts?: readonly RowPart[];
}

/**
 * Lays a group out in rows and columns, numbers its registers, and encodes it.
 *
 * @param usedOutside members that are written
 * @param shown nodes, of this group or others, in whose stead a view of them is written and read
 */
export function encodeGroup(
  plan: Plan,
  group: FusionGroup,
  usedOutside: ReadonlySet<NodeId>,
  shown: ReadonlyMap<NodeId, NodeId> = new Map(),
): FusedCall {
  const nodeAt = (id: NodeId): PlanNode => must(plan.nodes[id], "node");
  const outside = operandsFromOutside(plan, group);
  const columns = group.columns ?? chooseColumns(group, outside);
  const rows = group.size / columns;
  const outer = outerDims(group, columns);

  const order = [...outside.keys()].sort((a, b) => typeRank(a) - typeRank(b) || a - b);
  const inputs = order.filter((id) => !isSplat(id));
  const standIn = (id: NodeId): NodeId => shown.get(id) ?? id;
  const tensors = inputs.map((id) => standIn(rootOf(plan, id)));
  const constants: number[] = [];
  const constantAt = new Map<NodeId, number>();
  for (const id of order) if (isSplat(id)) constantAt.set(id, constants.push(splatOf(id)) - 1);

  const outputs = group.members.filter((id) => usedOutside.has(id));
  const isVector: number[] = [];
  const instructions: Instruction[] = [];
  const registerOf = new Map<NodeId, number>();
  const slicedInput = new Map<NodeId, Operand>();
  /** By register: members whose value it holds. Views share a register. */
  const holds: Set<NodeId>[] = [];
  const lastUse = new Map<NodeId, number>();
  group.members.forEach((id, i) => nodeAt(id).inputs.forEach((input) => lastUse.set(input, i)));
  const free: Record<0 | 1, number[]> = { 0: [], 1: [] };
  const takeRegister = (vector: 0 | 1): number => free[vector].pop() ?? isVector.push(vector) - 1;

  group.members.forEach((id, i) => {
    const node = nodeAt(id);
    const kind = must(group.kinds.get(id), "kind");
    const operands = node.inputs.map(operandOf);
    const output = outputs.indexOf(id);
    if (node.op === "reduce") {
      if (kind === "row") instructions.push({ code: `row_${node.attrs.kind}`, destination: define(id, 0), output, operands });
      else {
        const first = must(operands[0], "operand");
        const isRow = group.kinds.get(must(node.inputs[0], "operand")) === "row";
        // A reduction over everything: along each row first, then over rows.
        const source =
          sizeOf(node.type.dims) === 1 && !isRow ? { place: place.register, index: emitRowReduction(node.attrs.kind, first) } : first;
        assert(output >= 0, "what is reduced over rows is used outside, or not at all", node.value.name);
        instructions.push({ code: `acc_${node.attrs.kind}`, destination: 0, output, operands: [source] });
      }
    } else if (node.op === "reshape" || node.op === "convert") {
      // The same numbers: a register of its own only where they must be written.
      const source = must(operands[0], "operand");
      if (output >= 0 || source.place !== place.register)
        instructions.push({ code: "copy", destination: define(id, kind === "full" ? 1 : 0), output, operands: [source] });
      else hold(id, source.index);
    } else if (node.op === "slice") {
      // What reads it reads parts of rows of its operand.
      const source = must(operands[0], "operand");
      if (source.place === place.register) hold(id, source.index);
      else slicedInput.set(id, source);
    } else if (node.op === "concatenate") {
      const parts = must(group.rearranged.get(id), "parts");
      instructions.push({ code: "rearrange", destination: define(id, 1), output, operands: operands.slice(0, 1), parts });
    } else instructions.push({ code: formulaOf(node), destination: define(id, kind === "full" ? 1 : 0), output, operands });
    release(id, i);
  });
  if (isVector.length === 0) isVector.push(1);

  const code = [...list(outer), columns, inputs.length];
  for (const id of inputs) {
    const { strides, inner } = must(outside.get(id), "operand").layout(outer, columns);
    code.push(inner, 0, ...list(strides));
  }
  code.push(outputs.length);
  for (const id of outputs) code.push(...layoutOfOutput(id), ...list(nodeAt(standIn(id)).type.dims));
  code.push(...list(isVector), instructions.length);
  for (const { code: op, destination, output, operands, parts } of instructions) {
    code.push(opcodeOf(op), destination, output, operands.length, ...operands.flatMap((o) => [o.place, o.index]));
    if (parts !== undefined) code.push(...list(parts.flatMap(({ from, to, width }) => [from, to, width])));
  }
  const count = (dtype: string): number => inputs.filter((id) => nodeAt(id).type.dtype === dtype).length;
  assert(rows * columns === group.size, "rows and columns fill the space");
  return {
    group,
    inputs: tensors,
    counts: { floats: count("f32"), ints: count("i32"), bools: count("pred") },
    outputs: outputs.map(standIn),
    code: Int32Array.from(code),
    constants: Float32Array.from(constants),
  };

  function typeRank(id: NodeId): number {
    return ["f32", "i32", "pred"].indexOf(nodeAt(id).type.dtype);
  }
  function isSplat(id: NodeId): boolean {
    return nodeAt(id).op === "constant" && sizeOf(nodeAt(id).type.dims) === 1;
  }
  function splatOf(id: NodeId): number {
    const node = nodeAt(id);
    assert(node.op === "constant", "a splat");
    return node.attrs.value;
  }
  function operandOf(id: NodeId): Operand {
    const register = registerOf.get(id);
    if (register !== undefined) return { place: place.register, index: register };
    const sliced = slicedInput.get(id);
    if (sliced !== undefined) return sliced;
    const constant = constantAt.get(id);
    return constant === undefined ? { place: place.input, index: inputs.indexOf(id) } : { place: place.constant, index: constant };
  }
  function define(id: NodeId, vector: 0 | 1): number {
    return hold(id, takeRegister(vector));
  }
  function hold(id: NodeId, register: number): number {
    registerOf.set(id, register);
    (holds[register] ??= new Set()).add(id);
    return register;
  }
  function emitRowReduction(kind: "sum" | "max" | "min", source: Operand): number {
    const register = isVector.push(0) - 1;
    instructions.push({ code: `row_${kind}`, destination: register, output: -1, operands: [source] });
    return register;
  }
  /** Registers whose values nobody reads any more are free again: the last reader of any that it holds counts. */
  function release(id: NodeId, i: number): void {
    const mine = registerOf.get(id);
    for (const register of new Set([...nodeAt(id).inputs.map((input) => registerOf.get(input)), mine])) {
      if (register === undefined) continue;
      const held = must(holds[register], "values of a register");
      if ([...held].some((other) => (lastUse.get(other) ?? -1) > i)) continue;
      for (const other of held) registerOf.delete(other);
      held.clear();
      free[isVector[register] === 1 ? 1 : 0].push(register);
    }
  }
  /** Its kind, and over how many rows that follow one another one of its own is accumulated. */
  function layoutOfOutput(id: NodeId): [kind: number, period: number] {
    const kind = must(group.kinds.get(id), "kind");
    assert(kind !== "part", "parts of rows are not written", nodeAt(id).value.name);
    if (kind !== "late") return [outputKind[kind], 1];
    const node = nodeAt(id);
    const size = sizeOf(node.type.dims);
    const isRow = group.kinds.get(must(node.inputs[0], "operand")) === "row";
    return isRow || size === 1 ? [outputKind.one, rows / size] : [outputKind.columns, (rows * columns) / size];
  }
}

const list = (values: readonly number[]): number[] => [values.length, ...values];

const formulaOf = (node: PlanNode): OpcodeName => (node.op === "compare" ? node.attrs.direction : node.op);

/** An operand from outside, read under the dims of the member that reads it. */
interface OutsideOperand {
  readonly held: readonly number[];
  readonly dims: readonly number[];
  layout(outer: readonly number[], columns: number): { readonly strides: number[]; readonly inner: 0 | 1 };
}

function operandsFromOutside(plan: Plan, group: FusionGroup): Map<NodeId, OutsideOperand> {
  const found = new Map<NodeId, OutsideOperand>();
  const inside = new Set(group.members);
  for (const id of group.members) {
    const node = must(plan.nodes[id], "node");
    for (const input of node.inputs) {
      if (inside.has(input) || found.has(input)) continue;
      const held = must(plan.nodes[input], "operand").type.dims;
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
  // Dims major to minor as (size, stride); a row value has no columns, so that 1 stands for them.
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
    // The dims that make up this size, from the minor end; a dim may be cut.
    let left = size;
    let stride: number | undefined;
    let covered = 1;
    while (left > 1) {
      const last = must(rest.at(-1), "dim");
      const part = Math.min(left, last.size);
      assert(last.size % part === 0 && left % part === 0, "cuts are a chain", dims, outer, columns);
      if (stride === undefined) stride = last.stride;
      else assert(last.stride === stride * covered, "neighbouring dims are one run in memory", dims, held, outer, columns);
      covered *= part;
      left /= part;
      rest = last.size === part ? rest.slice(0, -1) : [...rest.slice(0, -1), { size: last.size / part, stride: last.stride * part }];
    }
    result.unshift(stride ?? 0);
  }
  if (isRow) return { strides: result, inner: 0 };
  const inner = must(result.pop(), "inner");
  assert(inner === 0 || inner === 1 || columns === 1, "a row is contiguous or one number", held, dims, outer, columns);
  return { strides: result, inner: inner === 0 ? 0 : 1 };
}

/** Neighbours that are one run in memory, or both repeated, as one dim: a row may end anywhere in it, be the sizes 128, 384 and the row 1024. */
function joined(dims: readonly { size: number; stride: number }[]): { size: number; stride: number }[] {
  const runs: { size: number; stride: number }[] = [];
  for (const { size, stride } of dims) {
    const last = runs.at(-1);
    if (last !== undefined && last.stride === stride * size) runs[runs.length - 1] = { size: last.size * size, stride };
    else runs.push({ size, stride });
  }
  return runs;
}

/** Sizes of the outer dims: between the cuts above a row. */
function outerDims(group: FusionGroup, columns: number): number[] {
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

/** The longest row in which every operand is contiguous or one number, cut down to what the cache holds. */
function chooseColumns(group: FusionGroup, outside: ReadonlyMap<NodeId, OutsideOperand>): number {
  const candidates = [...group.cuts, group.size].sort((a, b) => b - a);
  const columns = candidates.find((cut) => [...outside.values()].every(({ held, dims }) => isUniform(held, dims, cut))) ?? 1;
  if (columns <= 2 * rowTarget) return columns;
  // A divisor near the target.
  for (let size = rowTarget; size > 1; size--) if (columns % size === 0) return size >= 128 ? size : columns;
  return columns;
}
