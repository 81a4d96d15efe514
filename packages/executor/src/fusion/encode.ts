import { type ReductionKind, sizeOf } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import type { NodeId, Plan, PlanNode, PlanNodeOf } from "../plan/plan.js";
import type { FusionGroup, MemberKind } from "./fusion-group.js";
import { type OpcodeName, opcodeOf } from "@lapidary/native";
import type { RowPart } from "./rearranged.js";
import { Registers, type Width } from "./registers.js";
import { type OutsideOperand, chooseColumns, operandsFromOutside, outerDims } from "./row-layout.js";

/** A group as one call: its operands and results as nodes of the plan, and the program for the native op. */
export interface FusedCall {
  readonly group: FusionGroup;
  /** Operands: floats, then integers, then booleans. */
  readonly inputs: readonly NodeId[];
  readonly counts: { readonly floats: number; readonly ints: number; readonly bools: number };
  readonly outputs: readonly NodeId[];
  readonly code: Int32Array;
  readonly constants: Float32Array;
}

/** The first node of a chain of views. All of them have the same numbers in memory, and a call depends on nothing else. */
export function rootOf(plan: Plan, id: NodeId): NodeId {
  const node = ensure(plan.nodes[id], "node");
  return node.op === "reshape" && !node.constant ? rootOf(plan, ensure(node.inputs[0], "operand")) : id;
}

const operandKind = { register: 0, input: 1, constant: 2 } as const;
const outputKind = { full: 0, row: 1, columns: 2, one: 3 } as const;

interface Operand {
  readonly kind: number;
  readonly index: number;
}

interface Instruction {
  readonly code: OpcodeName;
  readonly destination: number;
  readonly output: number;
  readonly operands: readonly Operand[];
  /** Only of `rearrange`: the parts of a row that it moves. */
  readonly parts?: readonly RowPart[];
}

/**
 * Arranges a group in rows and columns, numbers its registers, and encodes it.
 *
 * @param usedOutside members that are written
 * @param writtenAs by node of any group: the view that is written and read instead of the node
 */
export function encodeGroup(
  plan: Plan,
  group: FusionGroup,
  usedOutside: ReadonlySet<NodeId>,
  writtenAs: ReadonlyMap<NodeId, NodeId> = new Map(),
): FusedCall {
  return new GroupEncoder(plan, group, usedOutside, writtenAs).encode();
}

const dtypeOrder: readonly string[] = ["f32", "i32", "pred"];

class GroupEncoder {
  readonly #plan: Plan;
  readonly #group: FusionGroup;
  readonly #writtenAs: ReadonlyMap<NodeId, NodeId>;
  readonly #outside: ReadonlyMap<NodeId, OutsideOperand>;
  readonly #columns: number;
  readonly #rows: number;
  /** Operands in memory. */
  readonly #inputs: readonly NodeId[];
  readonly #outputs: readonly NodeId[];
  readonly #constants: number[] = [];
  readonly #constantAt = new Map<NodeId, number>();
  /** By slice of an operand in memory: the operand. */
  readonly #slicedInput = new Map<NodeId, Operand>();
  readonly #registers: Registers;
  readonly #instructions: Instruction[] = [];

  constructor(plan: Plan, group: FusionGroup, usedOutside: ReadonlySet<NodeId>, writtenAs: ReadonlyMap<NodeId, NodeId>) {
    this.#plan = plan;
    this.#group = group;
    this.#writtenAs = writtenAs;
    this.#outside = operandsFromOutside(plan, group);
    this.#columns = group.columns ?? chooseColumns(group, this.#outside);
    this.#rows = group.size / this.#columns;
    this.#outputs = group.members.filter((id) => usedOutside.has(id));
    this.#registers = new Registers(group.members.map((id) => this.#node(id)));
    const rank = (id: NodeId): number => dtypeOrder.indexOf(this.#node(id).type.dtype);
    const operands = [...this.#outside.keys()].sort((a, b) => rank(a) - rank(b) || a - b);
    this.#inputs = operands.filter((id) => splatOf(this.#node(id)) === undefined);
    for (const id of operands) {
      const splat = splatOf(this.#node(id));
      if (splat !== undefined) this.#constantAt.set(id, this.#constants.push(splat) - 1);
    }
  }

  encode(): FusedCall {
    const { members } = this.#group;
    members.forEach((id, i) => {
      const node = this.#node(id);
      this.#emitMember(node);
      this.#registers.release(node, i);
    });
    if (this.#registers.widths.length === 0) this.#registers.add("vector");
    assert(this.#rows * this.#columns === this.#group.size, "rows and columns fill the space");
    const count = (dtype: string): number => this.#inputs.filter((id) => this.#node(id).type.dtype === dtype).length;
    return {
      group: this.#group,
      inputs: this.#inputs.map((id) => this.#view(rootOf(this.#plan, id))),
      counts: { floats: count("f32"), ints: count("i32"), bools: count("pred") },
      outputs: this.#outputs.map((id) => this.#view(id)),
      code: Int32Array.from(this.#code()),
      constants: Float32Array.from(this.#constants),
    };
  }

  #emitMember(node: PlanNode): void {
    const operands = node.inputs.map((input) => this.#operand(input));
    switch (node.op) {
      case "reduce":
        return this.#emitReduction(node, ensure(operands[0], "operand"));
      case "reshape":
      case "convert":
        return this.#emitView(node, ensure(operands[0], "operand"));
      case "slice":
        return this.#emitSlice(node, ensure(operands[0], "operand"));
      case "concatenate": {
        const parts = ensure(this.#group.rearranged.get(node.id), "parts");
        return this.#emit(node, {
          code: "rearrange",
          destination: this.#registers.define(node.id, "vector"),
          operands: operands.slice(0, 1),
          parts,
        });
      }
      default:
        return this.#emit(node, { code: formulaOf(node), destination: this.#registers.define(node.id, this.#width(node)), operands });
    }
  }

  #emitReduction(node: PlanNodeOf<"reduce">, operand: Operand): void {
    const { kind } = node.attrs;
    if (this.#kind(node.id) === "row")
      return this.#emit(node, { code: `row_${kind}`, destination: this.#registers.define(node.id, "number"), operands: [operand] });
    assert(this.#outputs.includes(node.id), "a reduction over rows has no users in its group", node.value.name);
    // A reduction of the whole space reduces each row first, and then over rows.
    const isWhole = sizeOf(node.type.dims) === 1 && !this.#readsRow(node);
    const source = isWhole ? { kind: operandKind.register, index: this.#emitRowReduction(kind, operand) } : operand;
    this.#emit(node, { code: `acc_${kind}`, destination: 0, operands: [source] });
  }

  #emitRowReduction(kind: ReductionKind, operand: Operand): number {
    const register = this.#registers.add("number");
    this.#instructions.push({ code: `row_${kind}`, destination: register, output: -1, operands: [operand] });
    return register;
  }

  /** A view has the numbers of its operand. It gets its own register only if it must be written. */
  #emitView(node: PlanNode, operand: Operand): void {
    if (!this.#outputs.includes(node.id) && operand.kind === operandKind.register) this.#registers.share(node.id, operand.index);
    else this.#emit(node, { code: "copy", destination: this.#registers.define(node.id, this.#width(node)), operands: [operand] });
  }

  /** The members that use a slice read parts of the rows of its operand. */
  #emitSlice(node: PlanNode, operand: Operand): void {
    if (operand.kind === operandKind.register) this.#registers.share(node.id, operand.index);
    else this.#slicedInput.set(node.id, operand);
  }

  #emit(node: PlanNode, instruction: Omit<Instruction, "output">): void {
    this.#instructions.push({ ...instruction, output: this.#outputs.indexOf(node.id) });
  }

  #operand(id: NodeId): Operand {
    const register = this.#registers.of(id);
    if (register !== undefined) return { kind: operandKind.register, index: register };
    const sliced = this.#slicedInput.get(id);
    if (sliced !== undefined) return sliced;
    const constant = this.#constantAt.get(id);
    return constant === undefined
      ? { kind: operandKind.input, index: this.#inputs.indexOf(id) }
      : { kind: operandKind.constant, index: constant };
  }

  /** The encoded program. */
  #code(): number[] {
    const outer = outerDims(this.#group, this.#columns);
    const code = [...list(outer), this.#columns, this.#inputs.length];
    for (const id of this.#inputs) {
      const { strides, inner } = ensure(this.#outside.get(id), "operand").layout(outer, this.#columns);
      code.push(inner, 0, ...list(strides));
    }
    code.push(this.#outputs.length);
    for (const id of this.#outputs) code.push(...this.#layoutOfOutput(id), ...list(this.#node(this.#view(id)).type.dims));
    code.push(...list(this.#registers.widths.map((width) => (width === "vector" ? 1 : 0))), this.#instructions.length);
    for (const { code: op, destination, output, operands, parts } of this.#instructions) {
      code.push(opcodeOf(op), destination, output, operands.length, ...operands.flatMap((o) => [o.kind, o.index]));
      if (parts !== undefined) code.push(...list(parts.flatMap(({ from, to, width }) => [from, to, width])));
    }
    return code;
  }

  /** The kind of an output, and the number of consecutive rows that the kernel reduces to one result. */
  #layoutOfOutput(id: NodeId): [kind: number, period: number] {
    const kind = this.#kind(id);
    const node = this.#node(id);
    assert(kind !== "slice", "a slice is not written", node.value.name);
    if (kind !== "accumulated") return [outputKind[kind], 1];
    const size = sizeOf(node.type.dims);
    return this.#readsRow(node) || size === 1
      ? [outputKind.one, this.#rows / size]
      : [outputKind.columns, (this.#rows * this.#columns) / size];
  }

  #node(id: NodeId): PlanNode {
    return ensure(this.#plan.nodes[id], "node");
  }

  #kind(id: NodeId): MemberKind {
    return ensure(this.#group.kinds.get(id), "kind");
  }

  #width({ id }: PlanNode): Width {
    return this.#kind(id) === "full" ? "vector" : "number";
  }

  /** Whether the first operand has one number for each row. */
  #readsRow(node: PlanNode): boolean {
    return this.#group.kinds.get(ensure(node.inputs[0], "operand")) === "row";
  }

  #view(id: NodeId): NodeId {
    return this.#writtenAs.get(id) ?? id;
  }
}

/** The number that a constant repeats; undefined for other nodes. */
const splatOf = (node: PlanNode): number | undefined =>
  node.op === "constant" && sizeOf(node.type.dims) === 1 ? node.attrs.value : undefined;

const list = (values: readonly number[]): number[] => [values.length, ...values];

const formulaOf = (node: PlanNode): OpcodeName => (node.op === "compare" ? node.attrs.direction : node.op);
