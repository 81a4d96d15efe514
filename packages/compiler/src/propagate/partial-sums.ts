import type { AtomId } from "@lapidary/topology";
import { type Graph, type OpName, type ReductionKind, type Value, type ValueId, opDef, sameAtomSet } from "@lapidary/ir";
import type { OpSharding } from "./propagated.js";

/**
 * Whether `value` is jointly linear in exactly those of its operands that hold partial sums over the atoms that `operand` holds them over.
 * A zero counts as a partial sum over anything.
 */
function mayPass(graph: Graph, value: Value, operand: ValueId, held: (id: ValueId) => readonly AtomId[]): boolean {
  const atoms = held(operand);
  return opDef<OpName>(value.op)
    .linearIn(value.attrs, value.inputs.length)
    .some((set) =>
      value.inputs.every((id, i) => (set.includes(i) ? sameAtomSet(held(id), atoms) || isZero(graph, id) : held(id).length === 0)),
    );
}

function isZero(graph: Graph, id: ValueId): boolean {
  const value = graph.values[id];
  return value?.op === "constant" && value.attrs.value === 0;
}

/**
 * The atoms of partial sums that an op carries from operands that hold them to its result, or none.
 *
 * @param held atoms over which an operand is unreduced
 * @param ownAtoms atoms that split the op's factors: partial sums over one of them cannot pass
 */
export function propagatedPartialSums(
  graph: Graph,
  value: Value,
  held: (id: ValueId) => readonly AtomId[],
  ownAtoms: readonly AtomId[],
): AtomId[] {
  const first = value.inputs.find((id) => held(id).length > 0);
  if (first === undefined || held(first).some((atom) => ownAtoms.includes(atom))) return [];
  return mayPass(graph, value, first, held) ? [...held(first)] : [];
}

/** Atoms of an op's reduced factors: over these its own result is unreduced. */
export function newPartialSums(sharding: OpSharding): { atoms: AtomId[]; kind: ReductionKind } {
  const reduced = sharding.rule.factors.flatMap((factor, f) =>
    factor.kind === "reduce" && (sharding.atoms[f]?.length ?? 0) > 0 ? [{ factor, atoms: sharding.atoms[f] ?? [] }] : [],
  );
  return { atoms: reduced.flatMap((r) => r.atoms), kind: reduced[0]?.factor.reduction ?? "sum" };
}
