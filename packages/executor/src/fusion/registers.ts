import { ensure } from "@lapidary/std";
import type { NodeId, PlanNode } from "../plan/plan.js";

/** The kind of a register: one number for each row, or one number for each element of a row. */
export type Width = "number" | "vector";

/** Assigns the values of a group to the registers of its program. Members must be assigned in their order. */
export class Registers {
  /** By register. */
  readonly widths: Width[] = [];
  readonly #registerOf = new Map<NodeId, number>();
  /** By register: the members that it holds. Views share a register. */
  readonly #members: Set<NodeId>[] = [];
  /** By node: the index of the last member that reads it. */
  readonly #lastUse = new Map<NodeId, number>();
  readonly #free: Record<Width, number[]> = { number: [], vector: [] };

  /** @param members in their order */
  constructor(members: readonly PlanNode[]) {
    members.forEach(({ inputs }, i) => inputs.forEach((input) => this.#lastUse.set(input, i)));
  }

  /** The register of a value. Undefined if the value has none. */
  of(id: NodeId): number | undefined {
    return this.#registerOf.get(id);
  }

  /** Assigns a register to a value. */
  define(id: NodeId, width: Width): number {
    return this.share(id, this.#free[width].pop() ?? this.add(width));
  }

  /** Assigns the register of another value. */
  share(id: NodeId, register: number): number {
    this.#registerOf.set(id, register);
    (this.#members[register] ??= new Set()).add(id);
    return register;
  }

  /** Adds a register for a value that is not a member. */
  add(width: Width): number {
    return this.widths.push(width) - 1;
  }

  /** Frees registers of the operands and the result of the member at `index`, if no later member reads them. */
  release({ id, inputs }: PlanNode, index: number): void {
    const own = this.#registerOf.get(id);
    for (const register of new Set([...inputs.map((input) => this.#registerOf.get(input)), own])) {
      if (register === undefined) continue;
      const members = ensure(this.#members[register], "values of a register");
      if ([...members].some((member) => (this.#lastUse.get(member) ?? -1) > index)) continue;
      for (const member of members) this.#registerOf.delete(member);
      members.clear();
      this.#free[ensure(this.widths[register], "width")].push(register);
    }
  }
}
