import type { AtomId, Mesh } from "@lapidary/topology";
import type { Graph, OpFactors, Sharding, ValueId } from "@lapidary/ir";
import type { LogicalAxisRules, Priority, ZeroOptions } from "./rules.js";

/**
 * Where a region adds the gradients of its iterations.
 *
 * - `scattered`: every iteration reduces its gradient onto the shards of ZeRO, so that a chip stores only its shard of the sum. Over other
 *   axes, such as pods, the sum is reduced once after the region;
 * - `whole`: a chip adds its partial sums of all iterations, which are reduced once after the region.
 */
export type GradientSums = "scattered" | "whole";

export interface PropagateOptions {
  readonly mesh: Mesh;
  readonly rules: LogicalAxisRules;
  readonly zero: ZeroOptions;
  /** Default: scattered if ZeRO splits gradients, otherwise whole. */
  readonly gradientSums?: GradientSums;
  /** Rules that were omitted because no part of their axes divides the dims. They split nothing, but are reported as shortfalls. */
  readonly undivided?: LogicalAxisRules;
  /** Given shardings, by value name, with precedence over all rules (tests, constraints of the user). */
  readonly constraints?: ReadonlyMap<string, Sharding>;
  /** Dims that propagation may split further, by value name, although the value is constrained or a state. */
  readonly open?: ReadonlyMap<string, readonly boolean[]>;
  /** Shardings of states, by name, instead of those of ZeRO and with the same priority. `costsOfAlternatives` sets them. */
  readonly assumed?: ReadonlyMap<string, Sharding>;
}

/** A sharding for every value, and for every op the atoms of each of its factors. */
export interface Propagated {
  readonly graph: Graph;
  readonly gradientSums: GradientSums;
  /** By yield of a region that sums a gradient: the sub-axes of ZeRO over which every iteration reduces it. */
  readonly scattered: ReadonlyMap<ValueId, readonly AtomId[]>;
  /** By value: the op's factors and the atoms that split each of them. */
  readonly factors: readonly OpSharding[];
  /** By value, by atom that splits it: the origin of the atom. */
  readonly origins: readonly ReadonlyMap<AtomId, Origin>[];
  /** By op, by atom that splits one of its factors: the origin of the atom. */
  readonly opOrigins: readonly ReadonlyMap<AtomId, Origin>[];
  /** Claims that lost. */
  readonly conflicts: readonly Conflict[];
  /** Rules and ZeRO that split a dim less than they request, or not at all. */
  readonly shortfalls: readonly Shortfall[];
}

/** Why an atom splits a value: the rule at the root, and the op that propagated it. */
export interface Origin {
  /** The priority of the claim at the root. */
  readonly priority: Priority;
  /** For display: `rule mlp → model`, `ZeRO-3 (params → data)`, `given`. */
  readonly root: string;
  /** The op that propagated the atom; absent if the rule applies to the value itself. */
  readonly via?: ValueId;
}

/**
 * A dim of an operand or result claimed an axis that another factor of the op, or partial sums, already used. The claim with the
 * lower priority number wins (given, batch, rule, activation, zero), and among equal priorities the first claim.
 */
export interface Conflict {
  readonly op: ValueId;
  readonly tensor: ValueId;
  readonly dimension: number;
  readonly atoms: readonly AtomId[];
  /** The claim that was dropped; absent if the dim has the atoms without a claim. */
  readonly lost: Origin | undefined;
  readonly winner: ConflictWinner;
}

/** What uses the atoms in the op: another claim, or partial sums that the op propagates. With `wholeDim` the op needs the whole dim, and nothing uses the atoms. */
export type ConflictWinner =
  | { readonly kind: "claim"; readonly origin: Origin }
  | { readonly kind: "partialSums" }
  | { readonly kind: "wholeDim" };

export interface OpSharding {
  readonly rule: OpFactors;
  readonly atoms: readonly (readonly AtomId[])[];
}

/** A rule, or ZeRO, that splits a dim less than it requests, or not at all. The chips along the unused atoms compute the same. */
export interface Shortfall {
  readonly value: ValueId;
  /** For ZeRO, which may split any dim, the largest one. */
  readonly dimension: number;
  /** `rule vocab → model`, `ZeRO-3 (params → data)`. */
  readonly cause: string;
  /** The logical axis of a rule; absent for ZeRO. */
  readonly logical?: string;
  readonly wanted: readonly AtomId[];
  /** A part of `wanted`; for ZeRO on any dims. */
  readonly taken: readonly AtomId[];
  /** The number that `wanted` must divide: of heads, for instance, not of elements. */
  readonly units: number;
  /** The rule that has the axis on another dim of the value. */
  readonly holder?: string;
  /** The number of parts into which all rules and ZeRO together split the value. */
  readonly parts: number;
}
