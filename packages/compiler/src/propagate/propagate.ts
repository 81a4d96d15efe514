import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, atomsSize } from "@lapidary/topology";
import { type FactorMap, type Graph, type OpFactors, type OpName, type Value, type ValueId, opDef } from "@lapidary/ir";
import { newPartialSums, propagatedPartialSums } from "./partial-sums.js";
import { findReductionPoints } from "./reduction-points.js";
import type { GradientSums, Conflict, ConflictWinner, OpSharding, Origin, PropagateOptions, Propagated } from "./propagated.js";
import { Priority, type Seed, checkRules } from "./rules.js";
import { logicalNames, seedsOfGraph } from "./seeds.js";
import { findShortfalls } from "./shortfalls.js";

interface DimState {
  atoms: AtomId[];
  /** Propagation adds no atoms to a closed dim: a rule, ZeRO or a constraint has decided its sharding. */
  closed: boolean;
}

/**
 * Propagates the shardings that rules give to some values through the whole graph.
 *
 * Each op has *factors* (see `OpFactors`). An atom that splits a dim splits its factor, and so all dims of that factor. Priorities
 * are settled one after the other, each to a fixed point: batch, then the rules on params, then ZeRO. Within an op an atom belongs
 * to the first factor that claims it. A later claim of another factor is dropped, and partition inserts a reshard. Passes over the
 * ops alternate between forward and backward order until nothing changes.
 *
 * Invariants
 * - only params, states, gradients, batch and constrained values are closed;
 * - the atoms of a factor are a prefix of the atoms that each of its dims has for it;
 * - constants propagate nothing, because partition adds them in the sharding of their use.
 */
export function propagate(graph: Graph, options: PropagateOptions): Propagated {
  checkRules(options.mesh, options.rules, new Set(graph.values.flatMap(logicalNames)));
  const propagation = new Propagation(graph, options);
  for (const priority of Object.values(Priority)) propagation.settle(priority);
  return propagation.result();
}

/** The state of one propagation. */
class Propagation {
  readonly #graph: Graph;
  readonly #mesh: Mesh;
  readonly #gradientSums: GradientSums;
  readonly #scattered: ReadonlyMap<ValueId, readonly AtomId[]>;
  readonly #seeds: readonly (readonly (readonly Seed[])[])[];
  readonly #dims: DimState[][];
  readonly #origins: Map<AtomId, Origin>[];
  readonly #opOrigins: Map<AtomId, Origin>[];
  readonly #rules: readonly OpFactors[];
  readonly #opAtoms: AtomId[][][];
  /** By op, the atoms of partial sums that it propagates. */
  #partialSumAtoms: AtomId[][];
  /** By value, the ops that read or write it. */
  readonly #opsOf: readonly (readonly ValueId[])[];
  /** By op, whether the state that its visit reads has changed since the last visit. The visit of another op changes nothing. */
  readonly #isStale: boolean[];

  constructor(graph: Graph, options: PropagateOptions) {
    this.#graph = graph;
    this.#mesh = options.mesh;
    this.#gradientSums = options.gradientSums ?? (options.zero.stage >= 2 ? "scattered" : "whole");
    this.#seeds = seedsOfGraph(graph, options);
    this.#scattered = new Map(this.#gradientSums === "scattered" ? graph.values.flatMap((value) => this.#scatteredAtoms(value)) : []);
    this.#dims = graph.values.map((value) =>
      value.type.dims.map((_, d) => ({ atoms: [], closed: isClosed(value, options) && options.open?.get(value.name)?.[d] !== true })),
    );
    this.#origins = graph.values.map(() => new Map());
    this.#opOrigins = graph.values.map(() => new Map());
    this.#rules = graph.values.map((value) => factorsOf(graph, value));
    this.#opAtoms = this.#rules.map((rule) => rule.factors.map(() => []));
    this.#partialSumAtoms = graph.values.map(() => []);
    const opsOf: ValueId[][] = graph.values.map(({ id }) => [id]);
    for (const { id, inputs } of graph.values) for (const input of inputs) opsOf[input]?.push(id);
    this.#opsOf = opsOf;
    this.#isStale = graph.values.map(() => true);
  }

  /** Settles one priority to a fixed point. */
  settle(priority: Priority): void {
    this.#placeSeeds(priority);
    this.#setPartialSums(this.#propagatedPartialSums());
    const last = this.#graph.values.length - 1;
    for (let changed = true; changed; ) {
      changed = false;
      for (let id = 0; id <= last; id++) changed = this.#visit(id) || changed;
      for (let id = last; id >= 0; id--) changed = this.#visit(id) || changed;
    }
  }

  result(): Propagated {
    return {
      graph: { ...this.#graph, mesh: this.#mesh, values: this.#shardedValues() },
      gradientSums: this.#gradientSums,
      scattered: this.#scattered,
      factors: this.#opShardings(),
      origins: this.#origins,
      opOrigins: this.#opOrigins,
      conflicts: this.#findConflicts(),
      shortfalls: findShortfalls(this.#mesh, this.#seeds),
    };
  }

  #scatteredAtoms({ id, op, role }: Value): [ValueId, readonly AtomId[]][] {
    if (op !== "yield" || role !== "gradient") return [];
    return [[id, (this.#seeds[id] ?? []).flat().flatMap(({ priority, atoms }) => (priority === Priority.zero ? atoms : []))]];
  }

  /** The atoms of operands and results that do not split the factors of the op, with the claim that won. */
  #findConflicts(): Conflict[] {
    return this.#graph.values.flatMap((value, id) => {
      if (value.op === "constant" || value.op === "parameter" || value.op === "constrain") return [];
      const rule = ensure(this.#rules[id], "factors");
      const maps: [ValueId, FactorMap][] = [
        ...value.inputs.map((input, i): [ValueId, FactorMap] => [input, rule.inputs[i] ?? []]),
        [id, rule.output],
      ];
      return maps.flatMap(([tensor, map]) =>
        map.flatMap((factors, dimension) => {
          const settled = factors.flatMap((f) => this.#opAtoms[id]?.[f] ?? []);
          const lost = (this.#dims[tensor]?.[dimension]?.atoms ?? []).filter((atom) => !settled.includes(atom));
          if (lost.length === 0 || this.#graph.values[tensor]?.op === "constant") return [];
          const first = ensure(lost[0], "atom");
          return [{ op: id, tensor, dimension, atoms: lost, lost: this.#origins[tensor]?.get(first), winner: this.#winnerOf(id, first) }];
        }),
      );
    });
  }

  #winnerOf(op: ValueId, atom: AtomId): ConflictWinner {
    const origin = this.#opOrigins[op]?.get(atom);
    if (origin !== undefined) return { kind: "claim", origin };
    return { kind: this.#partialSumAtoms[op]?.includes(atom) === true ? "partialSums" : "wholeDim" };
  }

  #shardedValues(): Value[] {
    return this.#graph.values.map((value, id) => ({
      ...value,
      sharding: { dims: (this.#dims[id] ?? []).map((dim) => dim.atoms), unreduced: [], reduction: "sum" as const },
    })) as Value[];
  }

  #opShardings(): OpSharding[] {
    return this.#rules.map((rule, id) => ({ rule, atoms: ensure(this.#opAtoms[id], "atoms of an op") }));
  }

  /**
   * By value, the atoms of partial sums that its op propagates with the shardings so far. The op cannot split a factor by such an
   * atom. So two matmuls whose results are added are reduced once, after the add.
   */
  #propagatedPartialSums(): AtomId[][] {
    // An op without atoms makes no partial sums.
    if (this.#opAtoms.every((ofOp) => ofOp.every((atoms) => atoms.length === 0))) return this.#graph.values.map(() => []);
    const graph = { ...this.#graph, mesh: this.#mesh, values: this.#shardedValues() };
    const state = { graph, factors: this.#opShardings(), scattered: this.#scattered };
    const { deferred, potential } = findReductionPoints(state, this.#mesh);
    const unreducedOf = (id: ValueId): readonly AtomId[] => (deferred[id] === true ? (potential[id] ?? []) : []);
    return this.#graph.values.map((value, id) => {
      if (value.op === "carry") return [...unreducedOf(id)];
      return newPartialSums(ensure(state.factors[id], "op sharding")).kind === "sum"
        ? propagatedPartialSums(this.#graph, value, unreducedOf, this.#opAtoms[id]?.flat() ?? [])
        : [];
    });
  }

  #setPartialSums(atoms: AtomId[][]): void {
    atoms.forEach((ofOp, id) => {
      const before = this.#partialSumAtoms[id] ?? [];
      if (before.length !== ofOp.length || !startsWith(ofOp, before)) this.#isStale[id] = true;
    });
    this.#partialSumAtoms = atoms;
  }

  /** Splits a dim of a value by one more atom. */
  #split(id: ValueId, dim: DimState, atom: AtomId, origin: Origin): void {
    dim.atoms.push(atom);
    this.#origins[id]?.set(atom, origin);
    for (const op of this.#opsOf[id] ?? []) this.#isStale[op] = true;
  }

  #placeSeeds(priority: Priority): void {
    this.#seeds.forEach((list, id) => {
      list.forEach((ofDim, d) => {
        const dim = ensure(this.#dims[id]?.[d], "dim");
        for (const seed of ofDim.filter((s) => s.priority === priority)) {
          for (const atom of seed.atoms) {
            if (this.#isUsed(id, atom) || !divides(this.#mesh, dim.atoms, atom, ensure(this.#graph.values[id], "value").type.dims[d] ?? 1))
              continue;
            this.#split(id, dim, atom, { priority, root: seed.cause });
          }
        }
      });
    });
  }

  #isUsed(id: ValueId, atom: AtomId): boolean {
    return (this.#dims[id] ?? []).some((dim) => dim.atoms.includes(atom));
  }

  /** Propagates from the dims of one op to its factors, and from its factors to its dims. */
  #visit(id: ValueId): boolean {
    const value = ensure(this.#graph.values[id], "value");
    if (value.op === "constant" || value.op === "parameter" || this.#isStale[id] !== true) return false;
    // What this visit changes makes the op stale again.
    this.#isStale[id] = false;
    const rule = ensure(this.#rules[id], "factors");
    const claimed = ensure(this.#opAtoms[id], "atoms");
    const tensors: [ValueId, FactorMap][] = [
      // The sharding of a constrain is given: propagation does not pass through it.
      ...(value.op === "constrain" ? [] : value.inputs).map((input, i): [ValueId, FactorMap] => [input, rule.inputs[i] ?? []]),
      [id, rule.output],
    ];
    let changed = false;
    /** A minor factor of a dim can be split only if all factors before it are fully split, because a chip's part is contiguous. */
    const isReachable = (f: number): boolean =>
      tensors.every(([, map]) =>
        map.every((factors) =>
          factors
            .slice(0, Math.max(0, factors.indexOf(f)))
            .every((major) => atomsSize(this.#mesh, claimed[major] ?? []) === rule.factors[major]?.size),
        ),
      );
    for (const [tensorId, map] of tensors)
      map.forEach((factors, d) => {
        let rest = this.#dims[tensorId]?.[d]?.atoms ?? [];
        for (const f of factors) {
          const factor = ensure(rule.factors[f], "factor");
          const mine = ensure(claimed[f], "claimed");
          const [own, after] = splitByFactor(this.#mesh, rest, factor.size);
          rest = after;
          if (factor.kind === "replicate" || own.length === mine.length || !startsWith(own, mine) || !isReachable(f)) continue;
          for (const atom of own.slice(mine.length)) {
            if (claimed.some((other) => other.includes(atom)) || this.#partialSumAtoms[id]?.includes(atom) === true) break;
            mine.push(atom);
            this.#isStale[id] = true;
            this.#opOrigins[id]?.set(atom, ensure(this.#origins[tensorId]?.get(atom), "origin"));
            changed = true;
          }
        }
      });
    for (const [tensorId, map] of tensors) {
      if (this.#graph.values[tensorId]?.op === "constant") continue;
      map.forEach((factors, d) => {
        const dim = ensure(this.#dims[tensorId]?.[d], "dim");
        if (dim.closed) return;
        const proposed: AtomId[] = [];
        for (const f of factors) {
          const mine = claimed[f] ?? [];
          proposed.push(...mine);
          if (atomsSize(this.#mesh, mine) !== rule.factors[f]?.size) break;
        }
        if (!startsWith(proposed, dim.atoms)) return;
        for (const atom of proposed.slice(dim.atoms.length)) {
          if (this.#isUsed(tensorId, atom) || !divides(this.#mesh, dim.atoms, atom, this.#graph.values[tensorId]?.type.dims[d] ?? 1)) break;
          this.#split(tensorId, dim, atom, { ...ensure(this.#opOrigins[id]?.get(atom), "origin"), via: id });
          changed = true;
        }
      });
    }
    return changed;
  }
}

/** Whether only rules, ZeRO and constraints decide the sharding of a value. */
function isClosed(value: Value, options: PropagateOptions): boolean {
  return (
    value.role === "param" ||
    value.role === "gathered" ||
    value.role === "optimizer" ||
    value.role === "gradient" ||
    value.role === "batch" ||
    value.op === "constrain" ||
    options.constraints?.has(value.name) === true
  );
}

function factorsOf(graph: Graph, value: Value): OpFactors {
  const def = opDef<OpName>(value.op);
  const rule = ensure(def.factors, `sharding rule of ${value.op}`);
  return rule(
    value.inputs.map((id) => ensure(graph.values[id], "operand").type),
    value.type,
    value.attrs,
  );
}

/** The first atoms of a dim, which split a factor of `size`, and the rest for the next factor. The rest is empty if the factor is not fully split. */
function splitByFactor(mesh: Mesh, atoms: readonly AtomId[], size: number): [AtomId[], AtomId[]] {
  const own: AtomId[] = [];
  let rest = size;
  for (const [i, id] of atoms.entries()) {
    if (rest === 1) return [own, atoms.slice(i)];
    const atom = atomOf(mesh, id).size;
    if (rest % atom !== 0) return [own, []];
    own.push(id);
    rest /= atom;
  }
  return [own, []];
}

const startsWith = (list: readonly AtomId[], prefix: readonly AtomId[]): boolean => prefix.every((atom, i) => list[i] === atom);

const divides = (mesh: Mesh, placed: readonly AtomId[], atom: AtomId, size: number): boolean =>
  size % (atomsSize(mesh, placed) * atomOf(mesh, atom).size) === 0;

/** A winner as the end of a sentence: `… lost to rule mlp → model`. */
export function winnerText(winner: ConflictWinner): string {
  switch (winner.kind) {
    case "claim":
      return winner.origin.root;
    case "partialSums":
      return "partial sums of its operands";
    case "wholeDim":
      return "the op, which needs the whole dim";
  }
}
