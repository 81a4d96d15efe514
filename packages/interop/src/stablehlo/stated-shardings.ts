import { type Origin, Priority, type Propagated } from "@lapidary/compiler";
import type { Sharding, Value, ValueId } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { AtomId } from "@lapidary/topology";
import type { DimNotes } from "./sdy.js";

/** The sharding that a whole text states of a value, and how firmly. */
export interface Statement {
  readonly sharding: Sharding;
  readonly notes: readonly DimNotes[];
}

/**
 * What the rules themselves say, by value: of every argument, and of values between arguments and results (gradients that ZeRO splits, a
 * residual stream that lies split between the products), which a user of JAX writes as `with_sharding_constraint`. What Lapidary has
 * propagated from there is not told: Shardy finds its own, in the same order of priorities.
 */
export function statedShardings({ graph, origins }: Propagated): Map<ValueId, Statement> {
  const stated = new Map<ValueId, Statement>();
  for (const value of graph.values) {
    const own = origins[value.id] ?? new Map<AtomId, Origin>();
    const told = new Set([...own].filter(([, origin]) => origin.via === undefined).map(([atom]) => atom));
    const isClosed = value.op === "parameter" || value.role === "gradient";
    if (told.size === 0 && !isClosed) continue;
    const sharding = must<Sharding>(value.sharding, "sharding");
    // A dim keeps the atoms up to the last that a rule put there: lists begin at the major end.
    const dims = sharding.dims.map((atoms) => (isClosed ? atoms : atoms.slice(0, atoms.findLastIndex((atom) => told.has(atom)) + 1)));
    stated.set(value.id, {
      sharding: { ...sharding, dims },
      notes: dims.map((atoms) => ({ open: !isClosed, ...priorityOf(value, atoms, own) })),
    });
  }
  return stated;
}

function priorityOf(value: Value, atoms: readonly AtomId[], origins: ReadonlyMap<AtomId, Origin>): Pick<DimNotes, "priority"> {
  const claims = atoms.map((atom) => origins.get(atom)?.priority ?? Priority.given);
  if (claims.length === 0 || claims.includes(Priority.given)) return {};
  if (value.role === "batch") return { priority: Priority.batch };
  if (value.op !== "parameter" && value.role !== "gradient") return { priority: Priority.activation };
  return { priority: claims.every((claim) => claim === Priority.zero) ? Priority.zero : Priority.rule };
}
