import type { Propagated } from "@lapidary/compiler";
import { type Sharding, type ValueId } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { Constraint } from "./module.js";

/**
 * The values between arguments and results of which a rule itself speaks (gradients that ZeRO splits, a residual stream that lies
 * split between the products), with what it says: what a user of JAX writes as `with_sharding_constraint`. What Lapidary has
 * propagated is not told: Shardy finds its own.
 */
export function ruleConstraints({ graph, origins }: Propagated): Map<ValueId, Constraint> {
  const constraints = new Map<ValueId, Constraint>();
  for (const value of graph.values) {
    const own = origins[value.id] ?? new Map();
    const told = new Set([...own].filter(([, origin]) => origin.via === undefined).map(([atom]) => atom));
    const isClosed = value.role === "gradient";
    if (value.op === "parameter" || (told.size === 0 && !isClosed)) continue;
    const sharding = must<Sharding>(value.sharding, "sharding");
    // A dim keeps the atoms up to the last that a rule put there: lists begin at the major end.
    const dims = sharding.dims.map((atoms) => (isClosed ? atoms : atoms.slice(0, atoms.findLastIndex((atom) => told.has(atom)) + 1)));
    constraints.set(value.id, { sharding: { ...sharding, dims }, open: dims.map(() => !isClosed) });
  }
  return constraints;
}
