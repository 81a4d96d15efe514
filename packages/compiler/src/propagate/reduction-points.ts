import { must } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize } from "@lapidary/topology";
import { type Graph, type Value, type ValueId, bytesOf } from "@lapidary/ir";
import { newPartialSums, propagatedPartialSums } from "./partial-sums.js";
import type { Propagated } from "./propagated.js";

/**
 * Where partial sums are reduced. A contraction over a split factor leaves its result unreduced; ops that are linear in it
 * could carry the partial sums on, so the reduction may stand at any cut of the linear region behind it. The rule, from the last value to the
 * first: carry on when what is reduced behind costs no more bytes than reducing here, else reduce here.
 *
 *     dq·Wq ─┐
 *     dk·Wk ─┼─ add ─ add ══ reduced here: one all_reduce for three products
 *     dv·Wv ─┘            ├─ × (1 + w)   two uses, each as large: carrying on would cost more
 *                         └─ × x̂
 *
 * A use that is nonlinear, an output, or a value with a role (a gradient, a metric) needs the value whole.
 */
export interface ReductionPoints {
  /** Atoms over which a value's own op leaves it unreduced, or may carry partial sums of its operands. */
  readonly potential: readonly (readonly AtomId[])[];
  /** Whether a potentially unreduced value is handed on unreduced. */
  readonly carried: readonly boolean[];
}

export function findReductionPoints({ graph, factors }: Pick<Propagated, "graph" | "factors">, mesh: Mesh): ReductionPoints {
  const potential: AtomId[][] = [];
  /** Whether some product of the linear region was born here or merged with one that was: it will be reduced in any case. */
  const anchored: boolean[] = [];
  for (const value of graph.values) {
    const born = newPartialSums(must(factors[value.id], "op sharding"));
    const passed =
      born.kind === "sum" ? propagatedPartialSums(graph, value, (id) => potential[id] ?? [], factors[value.id]?.atoms.flat() ?? []) : [];
    potential.push(born.atoms.length > 0 && born.kind === "sum" ? [...born.atoms, ...passed] : passed);
    anchored.push(
      born.atoms.length > 0 || (passed.length > 0 && value.inputs.length > 1 && value.inputs.some((id) => anchored[id] === true)),
    );
  }

  const uses: ValueId[][] = graph.values.map(() => []);
  for (const value of graph.values) for (const id of new Set(value.inputs)) uses[id]?.push(value.id);
  const outputs = new Set(graph.outputs.map((o) => o.value));
  const carried = graph.values.map(() => false);
  /** Bytes a chip moves to reduce what leaves a value, from the value on. */
  const cost = graph.values.map(() => 0);

  for (let id = graph.values.length - 1; id >= 0; id--) {
    const value = must(graph.values[id], "value");
    const atoms = must(potential[id], "potential");
    if (atoms.length === 0) continue;
    const here = reductionBytes(mesh, graph, value, atoms);
    const isCarried =
      value.role === undefined && !outputs.has(id) && (uses[id] ?? []).length > 0 && (uses[id] ?? []).every((use) => carries(use));
    const behind = isCarried ? (uses[id] ?? []).reduce((sum, use) => sum + shareOf(use, id), 0) : Infinity;
    carried[id] = behind <= here;
    cost[id] = Math.min(here, behind);
  }
  return { potential, carried };

  function carries(use: ValueId): boolean {
    return (
      propagatedPartialSums(graph, must(graph.values[use], "use"), (operand) => potential[operand] ?? [], factors[use]?.atoms.flat() ?? [])
        .length > 0
    );
  }

  /** What carrying `of` into `use` adds: nothing where another operand is reduced behind in any case. */
  function shareOf(use: ValueId, of: ValueId): number {
    const partners = must(graph.values[use], "use").inputs.filter((id) => id !== of && (potential[id]?.length ?? 0) > 0);
    if (partners.some((id) => anchored[id] === true)) return 0;
    return (cost[use] ?? 0) / (partners.length + 1);
  }
}

/** Bytes per chip to reduce a value: reduce_scatter where its sharding takes the atoms, all_reduce (twice that) for the rest. */
function reductionBytes(mesh: Mesh, graph: Graph, value: Value, atoms: readonly AtomId[]): number {
  const split = value.sharding?.dims.flat() ?? [];
  const own = split.filter((atom) => !atoms.includes(atom));
  const scattered = atoms.filter((atom) => split.includes(atom));
  const bytes = bytesOf(value.type) / atomsSize(mesh, own);
  const n = atomsSize(mesh, atoms);
  const fraction = (n - 1) / n;
  return bytes * fraction * (scattered.length === atoms.length ? 1 : 2);
}
