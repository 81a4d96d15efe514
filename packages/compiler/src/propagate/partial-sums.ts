import type { AtomId } from "@lapidary/topology";
import { type Graph, type OpName, type ReductionKind, type Value, type ValueId, opDef, sameAtomSet } from "@lapidary/ir";
import type { OpSharding } from "./propagated.js";

/**
 * Whether the op of `value` propagates the partial sums of `operand`: it is jointly linear in exactly the operands with partial
 * sums, and these have the same atoms. A zero is a partial sum over any atoms.
 */
function canPropagate(
  value: Value,
  operand: ValueId,
  unreducedOf: (id: ValueId) => readonly AtomId[],
  isZero: (id: ValueId) => boolean,
): boolean {
  const atoms = unreducedOf(operand);
  return opDef<OpName>(value.op)
    .linearIn(value.attrs, value.inputs.length)
    .some((set) =>
      value.inputs.every((id, i) => (set.includes(i) ? sameAtomSet(unreducedOf(id), atoms) || isZero(id) : unreducedOf(id).length === 0)),
    );
}

export function isZeroConstant(graph: Graph, id: ValueId): boolean {
  const value = graph.values[id];
  return value?.op === "constant" && value.attrs.value === 0;
}

/**
 * The atoms of partial sums that an op propagates from its operands to its result, or none.
 *
 * @param unreducedOf atoms over which an operand is unreduced
 * @param ownAtoms atoms that split the op's factors: the op cannot propagate partial sums over one of them
 * @param isZero operands that count as partial sums over any atoms
 */
export function propagatedPartialSums(
  graph: Graph,
  value: Value,
  unreducedOf: (id: ValueId) => readonly AtomId[],
  ownAtoms: readonly AtomId[],
  isZero: (id: ValueId) => boolean = (id) => isZeroConstant(graph, id),
): AtomId[] {
  if (value.inputs.every((id) => unreducedOf(id).length === 0)) return [];
  const carries = value.inputs.filter((id) => graph.values[id]?.op === "carry");
  const carried = carries.find((id) => unreducedOf(id).length > 0);
  // What is added to a carry is reduced over the atoms that split it, and over all others over which the carry is not unreduced.
  const reducedOf = (id: ValueId): readonly AtomId[] => {
    if (carries.length === 0) return unreducedOf(id);
    const atoms = unreducedOf(id).filter((atom) => !ownAtoms.includes(atom));
    const ofCarry = carried === undefined ? atoms : unreducedOf(carried);
    return ofCarry.every((atom) => atoms.includes(atom)) ? ofCarry : atoms;
  };
  const first = carried ?? value.inputs.find((id) => reducedOf(id).length > 0);
  if (first === undefined || reducedOf(first).some((atom) => ownAtoms.includes(atom))) return [];
  return canPropagate(value, first, reducedOf, isZero) ? [...reducedOf(first)] : [];
}

/** Atoms of an op's reduced factors, over which its result is unreduced. */
export function newPartialSums(sharding: OpSharding): { atoms: AtomId[]; kind: ReductionKind } {
  const reduced = sharding.rule.factors.flatMap((factor, f) =>
    factor.kind === "reduce" && (sharding.atoms[f]?.length ?? 0) > 0 ? [{ factor, atoms: sharding.atoms[f] ?? [] }] : [],
  );
  return { atoms: reduced.flatMap((r) => r.atoms), kind: reduced[0]?.factor.reduction ?? "sum" };
}
