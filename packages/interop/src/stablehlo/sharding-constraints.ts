import { type Origin, Priority, type Propagated } from "@lapidary/compiler";
import type { Sharding, Value, ValueId } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { AtomId } from "@lapidary/topology";
import type { DimNotes } from "./sdy.js";

/** The sharding constraint of a value in a global module; `notes` has the priority of each dim, and whether propagation may split it further. */
export interface ShardingConstraint {
  readonly sharding: Sharding;
  readonly notes: readonly DimNotes[];
}

/**
 * The sharding constraints that the sharding rules give, by value: of every argument, and of some intermediate values (gradients that ZeRO
 * splits, a residual stream that is split between matmuls). A user of JAX writes the latter as `with_sharding_constraint`. Shardings that
 * Lapidary propagated are not included: Shardy propagates by itself, with the same priorities.
 */
export function shardingConstraints({ graph, origins }: Propagated): Map<ValueId, ShardingConstraint> {
  const constraints = new Map<ValueId, ShardingConstraint>();
  for (const value of graph.values) {
    const valueOrigins = origins[value.id] ?? new Map<AtomId, Origin>();
    const fromRules = new Set([...valueOrigins].filter(([, origin]) => origin.via === undefined).map(([atom]) => atom));
    const isClosed = value.op === "parameter" || value.op === "constrain" || value.role === "gradient";
    if (fromRules.size === 0 && !isClosed) continue;
    const sharding = ensure<Sharding>(value.sharding, "sharding");
    // A dim keeps its sub-axes up to the last one that a rule placed: the list is ordered major to minor.
    const dims = sharding.dims.map((atoms) => (isClosed ? atoms : atoms.slice(0, atoms.findLastIndex((atom) => fromRules.has(atom)) + 1)));
    constraints.set(value.id, {
      sharding: { ...sharding, dims },
      notes: dims.map((atoms) => ({ open: !isClosed, ...priorityOf(value, atoms, valueOrigins) })),
    });
  }
  return constraints;
}

function priorityOf(value: Value, atoms: readonly AtomId[], origins: ReadonlyMap<AtomId, Origin>): Pick<DimNotes, "priority"> {
  const claims = atoms.map((atom) => origins.get(atom)?.priority ?? Priority.given);
  if (claims.length === 0 || claims.includes(Priority.given)) return {};
  if (value.role === "batch") return { priority: Priority.batch };
  if (value.op !== "parameter" && value.role !== "gradient") return { priority: Priority.activation };
  return { priority: claims.every((claim) => claim === Priority.zero) ? Priority.zero : Priority.rule };
}
