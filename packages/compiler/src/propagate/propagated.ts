import type { AtomId, Mesh } from "@lapidary/topology";
import type { Graph, OpFactors, Sharding, ValueId } from "@lapidary/ir";
import type { LogicalAxisRules, Priority, ZeroOptions } from "./rules.js";

export interface PropagateOptions {
  readonly mesh: Mesh;
  readonly rules: LogicalAxisRules;
  readonly zero: ZeroOptions;
  /** Rules that were left out because no part of their axes divides the dims: they split nothing, but are reported as shortfalls. */
  readonly undivided?: LogicalAxisRules;
  /** Shardings that are given, by value name: they come before all rules (tests, constraints of the user). */
  readonly constraints?: ReadonlyMap<string, Sharding>;
  /** Shardings of states, by name, in place of ZeRO's: like these they claim only what the rules leave (what an alternative would cost). */
  readonly assumed?: ReadonlyMap<string, Sharding>;
}

/** A sharding for every value, and for every op the atoms of each of its factors. */
export interface Propagated {
  readonly graph: Graph;
  /** By value: the op's factors and the atoms that split each of them. */
  readonly factors: readonly OpSharding[];
  /** By value, by atom that splits it: where that comes from. */
  readonly origins: readonly ReadonlyMap<AtomId, Origin>[];
  /** By op, by atom that splits a factor of it: likewise. */
  readonly opOrigins: readonly ReadonlyMap<AtomId, Origin>[];
  /** Claims that lost. */
  readonly conflicts: readonly Conflict[];
  /** Rules and ZeRO that split a dim less than they ask, or not at all. */
  readonly shortfalls: readonly Shortfall[];
}

/** Why an atom splits a value: the rule at the root, and the op that brought it here. */
export interface Origin {
  /** Of the claim at the root: which kind of rule it is. */
  readonly priority: Priority;
  /** For display: `rule mlp → model`, `ZeRO-3 (params → data)`, `given`. */
  readonly root: string;
  /** The op from which the value has it; absent where the rule speaks of the value itself. */
  readonly via?: ValueId;
}

/**
 * A dim of an operand or result asked for an axis that another factor of the op, or partial sums, had taken. The stated rule: the lower priority number
 * wins (given, batch, rule, activation, zero), and among equals the one that came first.
 */
export interface Conflict {
  readonly op: ValueId;
  readonly tensor: ValueId;
  readonly dimension: number;
  readonly atoms: readonly AtomId[];
  /** The claim that was dropped; absent if the dim holds the atoms by no claim. */
  readonly lost: Origin | undefined;
  readonly winner: ConflictWinner;
}

/** What holds the atoms in the op: another claim, or partial sums that pass through. The op may also need the dim whole, and nothing holds them. */
export type ConflictWinner =
  | { readonly kind: "claim"; readonly origin: Origin }
  | { readonly kind: "partialSums" }
  | { readonly kind: "wholeDim" };

export interface OpSharding {
  readonly rule: OpFactors;
  readonly atoms: readonly (readonly AtomId[])[];
}

/** A rule, or ZeRO, that splits a dim less than it asks, or not at all. The chips along what is left repeat one another. */
export interface Shortfall {
  readonly value: ValueId;
  /** For ZeRO, which may split any dim, the largest one. */
  readonly dimension: number;
  /** `rule vocab → model`, `ZeRO-3 (params → data)`. */
  readonly cause: string;
  /** The logical axis of a rule; absent for ZeRO. */
  readonly logical?: string;
  readonly wanted: readonly AtomId[];
  /** A part of `wanted`; for ZeRO on whatever dims. */
  readonly taken: readonly AtomId[];
  /** What `wanted` would have to divide: heads, not elements. */
  readonly units: number;
  /** The rule that has the axis on another dim of the value. */
  readonly holder?: string;
  /** Into how many parts all rules and ZeRO together split the value. */
  readonly parts: number;
}
