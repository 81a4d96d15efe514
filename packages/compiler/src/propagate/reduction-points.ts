import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize } from "@lapidary/topology";
import { type Graph, type Value, type ValueId, bytesOf, runsOf, sameAtomSet, usersOf, yieldsByCarry } from "@lapidary/ir";
import { isZeroConstant, newPartialSums, propagatedPartialSums } from "./partial-sums.js";
import type { OpSharding, Propagated } from "./propagated.js";

/**
 * Decides where partial sums are reduced. A contraction over a split factor leaves its result unreduced. Ops that are linear in
 * it propagate the partial sums, so that the reduction may be at any cut of the linear region after it. The rule, from the last
 * value to the first: the reduction is deferred if the later reductions send no more bytes, else the value is reduced.
 *
 *     dq·Wq ─┐
 *     dk·Wk ─┼─ add ─ add ══ reduced here: one all_reduce for three matmuls
 *     dv·Wv ─┘            ├─ × (1 + w)   two uses of the same size: two reductions would cost more
 *                         └─ × x̂
 *
 * A use that is nonlinear, an output, or a value with a role (a gradient, a metric) needs the value whole.
 */
export interface ReductionPoints {
  /** Atoms over which a value can be unreduced: those of its own op's reduction, and those that the op can propagate from operands. */
  readonly potential: readonly (readonly AtomId[])[];
  /** Whether the reduction of a value is deferred: its uses read it unreduced. */
  readonly deferred: readonly boolean[];
}

/** By value, the sub-axes that split its dims. */
type SplitOf = (value: Value) => readonly AtomId[];

/**
 * A carry that begins with zeros may have partial sums, if the value of the next iteration has partial sums over the same sub-axes. The search
 * begins with all such carries, and drops one after the other whose next value is reduced.
 */
export function findReductionPoints(
  { graph, factors, scattered }: Pick<Propagated, "graph" | "factors" | "scattered">,
  mesh: Mesh,
  splitOf: SplitOf = ({ sharding }) => sharding?.dims.flat() ?? [],
): ReductionPoints {
  const open = new Map(
    [...yieldsByCarry(graph)].filter(([carry]) => isZeroConstant(graph, ensure(graph.values[carry]?.inputs[0], "initial"))),
  );
  const sums = factors.map(sumsOf);
  for (;;) {
    const carried = potentialOfCarries(graph, sums, scattered, open);
    const points = reductionPoints(graph, sums, carried, (value, atoms) => reductionBytes(mesh, value, atoms, splitOf(value)));
    if (open.size === 0) return points;
    const passed = passedSums(graph, sums, points);
    const dropped = [...open].filter(([carry, yielded]) => {
      const next = ensure(graph.values[yielded]?.inputs[1], "next");
      return points.deferred[carry] === true && !sameAtomSet(points.potential[carry] ?? [], passed[next] ?? []);
    });
    if (dropped.length === 0) return points;
    for (const [carry] of dropped) open.delete(carry);
  }
}

/** The new partial sums of an op, and the sub-axes that split its factors. */
interface OpSums {
  readonly created: ReturnType<typeof newPartialSums>;
  readonly own: readonly AtomId[];
}

const none: readonly AtomId[] = [];
const noSums: OpSums = { created: { atoms: [], kind: "sum" }, own: none };

const sumsOf = (sharding: OpSharding): OpSums =>
  sharding.atoms.every((atoms) => atoms.length === 0) ? noSums : { created: newPartialSums(sharding), own: sharding.atoms.flat() };

/** By value, the sub-axes over which its uses read it unreduced. */
function passedSums(graph: Graph, sums: readonly OpSums[], { potential, deferred }: ReductionPoints): (readonly AtomId[])[] {
  const passed: (readonly AtomId[])[] = [];
  for (const value of graph.values) {
    const { created, own } = ensure(sums[value.id], "sums of an op");
    const propagated = created.kind === "sum" ? propagatedPartialSums(graph, value, (id) => passed[id] ?? [], own) : [];
    const all = value.op === "carry" ? (potential[value.id] ?? []) : [...created.atoms, ...propagated];
    passed.push(deferred[value.id] === true ? all : []);
  }
  return passed;
}

/** The sub-axes over which carries may be unreduced: those of their next values, if the carries count as zeros, without those that are scattered. */
function potentialOfCarries(
  graph: Graph,
  sums: readonly OpSums[],
  scattered: Propagated["scattered"],
  open: ReadonlyMap<ValueId, ValueId>,
): Map<ValueId, readonly AtomId[]> {
  if (open.size === 0) return new Map();
  const { potential } = potentialSums(graph, sums, new Map(), (id) => open.has(id) || isZeroConstant(graph, id));
  return new Map(
    [...open].map(([carry, yielded]) => {
      const atoms = potential[ensure(graph.values[yielded]?.inputs[1], "next")] ?? [];
      const reduced = scattered.get(yielded) ?? [];
      return [carry, atoms.filter((atom) => !reduced.includes(atom))];
    }),
  );
}

interface PotentialSums {
  readonly potential: readonly (readonly AtomId[])[];
  /** Whether the linear region of a value is reduced in any case: the value has new partial sums, or is added to a value that has. */
  readonly isReduced: readonly boolean[];
}

/** @param carried by carry, the sub-axes over which it is unreduced */
function potentialSums(
  graph: Graph,
  sums: readonly OpSums[],
  carried: ReadonlyMap<ValueId, readonly AtomId[]>,
  isZero?: (id: ValueId) => boolean,
): PotentialSums {
  const potential: (readonly AtomId[])[] = [];
  const isReduced: boolean[] = [];
  const unreducedOf = (id: ValueId): readonly AtomId[] => potential[id] ?? none;
  for (const value of graph.values) {
    const { created, own } = ensure(sums[value.id], "sums of an op");
    if (created.atoms.length === 0 && value.op !== "carry" && value.inputs.every((id) => unreducedOf(id).length === 0)) {
      potential.push(none);
      isReduced.push(false);
      continue;
    }
    const propagated = created.kind === "sum" ? propagatedPartialSums(graph, value, unreducedOf, own, isZero) : [];
    const ofCarry = (carried.get(value.id) ?? []).filter((atom) => !own.includes(atom));
    if (value.op === "carry") potential.push(ofCarry.length === carried.get(value.id)?.length ? ofCarry : []);
    else potential.push(created.atoms.length > 0 && created.kind === "sum" ? [...created.atoms, ...propagated] : propagated);
    isReduced.push(
      created.atoms.length > 0 || (propagated.length > 0 && value.inputs.length > 1 && value.inputs.some((id) => isReduced[id] === true)),
    );
  }
  return { potential, isReduced };
}

/** @param bytesOfReduction bytes that a chip sends to reduce a value over atoms */
function reductionPoints(
  graph: Graph,
  sums: readonly OpSums[],
  carried: ReadonlyMap<ValueId, readonly AtomId[]>,
  bytesOfReduction: (value: Value, atoms: readonly AtomId[]) => number,
): ReductionPoints {
  const { potential, isReduced } = potentialSums(graph, sums, carried);
  const uses = usersOf(graph);
  const unreducedOf = (id: ValueId): readonly AtomId[] => potential[id] ?? none;
  const outputs = new Set(graph.outputs.map((o) => o.value));
  const deferred = graph.values.map(() => false);
  /** Bytes that a chip sends to reduce the value, or the values after it. */
  const cost = graph.values.map(() => 0);

  for (let id = graph.values.length - 1; id >= 0; id--) {
    const value = ensure(graph.values[id], "value");
    const atoms = ensure(potential[id], "potential");
    if (atoms.length === 0) continue;
    const bytesHere = bytesOfReduction(value, atoms);
    const canDefer =
      value.role === undefined && !outputs.has(id) && (uses[id] ?? []).length > 0 && (uses[id] ?? []).every((use) => propagates(use));
    const bytesLater = canDefer ? (uses[id] ?? []).reduce((sum, use) => sum + shareOf(use, id), 0) : Infinity;
    deferred[id] = bytesLater <= bytesHere;
    cost[id] = Math.min(bytesHere, bytesLater);
  }
  return { potential, deferred };

  function propagates(use: ValueId): boolean {
    return propagatedPartialSums(graph, ensure(graph.values[use], "use"), unreducedOf, sums[use]?.own ?? none).length > 0;
  }

  /** The share of `of` in the bytes of a deferred reduction of `use`: 0 if another operand is reduced there in any case. */
  function shareOf(use: ValueId, of: ValueId): number {
    const partners = ensure(graph.values[use], "use").inputs.filter((id) => id !== of && (potential[id]?.length ?? 0) > 0);
    if (partners.some((id) => isReduced[id] === true)) return 0;
    return (cost[use] ?? 0) / (partners.length + 1);
  }
}

/** Bytes per chip to reduce a value in all iterations: reduce_scatter if its sharding contains all atoms, otherwise all_reduce (twice the bytes). */
function reductionBytes(mesh: Mesh, value: Value, atoms: readonly AtomId[], split: readonly AtomId[]): number {
  const own = split.filter((atom) => !atoms.includes(atom));
  const scattered = atoms.filter((atom) => split.includes(atom));
  const bytes = (bytesOf(value.type) * (value.op === "yield" ? 1 : runsOf(value))) / atomsSize(mesh, own);
  const n = atomsSize(mesh, atoms);
  const fraction = (n - 1) / n;
  return bytes * fraction * (scattered.length === atoms.length ? 1 : 2);
}
