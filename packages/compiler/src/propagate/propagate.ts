import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, atomsSize } from "@lapidary/topology";
import { type FactorMap, type Graph, type OpFactors, type OpName, type Value, type ValueId, opDef } from "@lapidary/ir";
import { newPartialSums, propagatedPartialSums } from "./partial-sums.js";
import { findReductionPoints } from "./reduction-points.js";
import type { GradientSums, Conflict, ConflictWinner, OpSharding, Origin, PropagateOptions, Propagated } from "./propagated.js";
import { Priority, type Seed, checkRules } from "./rules.js";
import { hasLogicalNames, logicalNames, seedsOfGraph } from "./seeds.js";
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
  checkRules(options.mesh, options.rules, new Set(graph.values.filter(hasLogicalNames).flatMap(logicalNames)));
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
  /** By op, the values between whose dims its visit propagates, with the factors of their dims. */
  readonly #tensors: readonly (readonly (readonly [ValueId, FactorMap])[])[];
  readonly #opAtoms: AtomId[][][];
  /** By op, the atoms of partial sums that it propagates. */
  #partialSumAtoms: AtomId[][];
  /** By value, the ops that read or write it. */
  readonly #opsOf: readonly (readonly ValueId[])[];
  /**
   * By op, whether the state that its visit reads has changed since the last visit. The visit of another op changes nothing. At the begin all
   * values are whole, and no visit would change anything.
   */
  readonly #isStale: boolean[];
  /** Whether shardings have changed since the partial sums were found. */
  #areSumsStale = true;

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
    this.#tensors = this.#rules.map((rule, id) => tensorsOf(ensure(graph.values[id], "value"), rule));
    this.#opAtoms = this.#rules.map((rule) => rule.factors.map(() => []));
    this.#partialSumAtoms = graph.values.map(() => []);
    const opsOf: ValueId[][] = graph.values.map(({ id }) => [id]);
    for (const { id, inputs } of graph.values) for (const input of inputs) opsOf[input]?.push(id);
    this.#opsOf = opsOf;
    this.#isStale = graph.values.map(() => false);
  }

  /** Settles one priority to a fixed point. */
  settle(priority: Priority): void {
    this.#placeSeeds(priority);
    if (this.#areSumsStale) this.#setPartialSums(this.#propagatedPartialSums());
    this.#areSumsStale = false;
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
    const conflicts: Conflict[] = [];
    for (const [id, tensors] of this.#tensors.entries()) {
      if (this.#graph.values[id]?.op === "constrain") continue;
      const claimed = this.#opAtoms[id] ?? [];
      for (const [tensor, map] of tensors)
        for (const [dimension, { atoms }] of (this.#dims[tensor] ?? []).entries()) {
          if (atoms.length === 0 || dimension >= map.length) continue;
          const lost = atoms.filter((atom) => map[dimension]?.some((f) => claimed[f]?.includes(atom)) !== true);
          const [first] = lost;
          if (first === undefined || this.#graph.values[tensor]?.op === "constant") continue;
          const origin = this.#origins[tensor]?.get(first);
          conflicts.push({ op: id, tensor, dimension, atoms: lost, lost: origin, winner: this.#winnerOf(id, first) });
        }
    }
    return conflicts;
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
    const state = { graph: this.#graph, factors: this.#opShardings(), scattered: this.#scattered };
    const splitOf = ({ id }: Value): AtomId[] => (this.#dims[id] ?? []).flatMap(({ atoms }) => atoms);
    const { deferred, potential } = findReductionPoints(state, this.#mesh, splitOf);
    const unreducedOf = (id: ValueId): readonly AtomId[] => (deferred[id] === true ? (potential[id] ?? []) : []);
    return this.#graph.values.map((value, id) => {
      if (value.op === "carry") return [...unreducedOf(id)];
      if (value.inputs.every((input) => unreducedOf(input).length === 0)) return [];
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
    this.#areSumsStale = true;
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
    for (const dim of this.#dims[id] ?? []) if (dim.atoms.includes(atom)) return true;
    return false;
  }

  /** Propagates from the dims of one op to its factors, and from its factors to its dims. */
  #visit(id: ValueId): boolean {
    if (this.#isStale[id] !== true) return false;
    // What this visit changes makes the op stale again.
    this.#isStale[id] = false;
    const hasClaimed = this.#claimFactors(id);
    return this.#splitDims(id) || hasClaimed;
  }

  /** Gives the factors of an op the atoms of the dims of its operands and of its result. */
  #claimFactors(id: ValueId): boolean {
    const rule = ensure(this.#rules[id], "factors");
    const claimed = ensure(this.#opAtoms[id], "atoms");
    let changed = false;
    for (const [tensorId, map] of this.#tensors[id] ?? []) {
      const dims = ensure(this.#dims[tensorId], "dims");
      for (let d = 0; d < map.length; d++) {
        let rest: readonly AtomId[] = dims[d]?.atoms ?? [];
        if (rest.length === 0) continue;
        for (const f of map[d] ?? []) {
          const [own, after] = splitByFactor(this.#mesh, rest, rule.factors[f]?.size ?? 1);
          rest = after;
          if (own.length > (claimed[f]?.length ?? 0)) changed = this.#claim(id, f, own, tensorId) || changed;
        }
      }
    }
    return changed;
  }

  /** Gives a factor of an op the atoms `own` of a dim of a tensor, up to the first that the op uses otherwise. */
  #claim(id: ValueId, f: number, own: readonly AtomId[], tensor: ValueId): boolean {
    const claimed = ensure(this.#opAtoms[id], "atoms");
    const mine = ensure(claimed[f], "claimed");
    if (this.#rules[id]?.factors[f]?.kind === "replicate" || !startsWith(own, mine) || !this.#isReachable(id, f)) return false;
    let changed = false;
    for (const atom of own.slice(mine.length)) {
      if (claimed.some((other) => other.includes(atom)) || this.#partialSumAtoms[id]?.includes(atom) === true) break;
      mine.push(atom);
      this.#isStale[id] = true;
      this.#areSumsStale = true;
      this.#opOrigins[id]?.set(atom, ensure(this.#origins[tensor]?.get(atom), "origin"));
      changed = true;
    }
    return changed;
  }

  /** A minor factor of a dim can be split only if all factors before it are fully split, because a chip's part is contiguous. */
  #isReachable(id: ValueId, f: number): boolean {
    const { factors: all } = ensure(this.#rules[id], "factors");
    return (this.#tensors[id] ?? []).every(([, map]) =>
      map.every((factors) =>
        factors
          .slice(0, Math.max(0, factors.indexOf(f)))
          .every((major) => atomsSize(this.#mesh, this.#opAtoms[id]?.[major] ?? []) === all[major]?.size),
      ),
    );
  }

  /** Splits the dims of the operands and of the result of an op by the atoms of its factors. */
  #splitDims(id: ValueId): boolean {
    const { factors: all } = ensure(this.#rules[id], "factors");
    const claimed = ensure(this.#opAtoms[id], "atoms");
    if (claimed.every((atoms) => atoms.length === 0)) return false;
    let changed = false;
    for (const [tensorId, map] of this.#tensors[id] ?? []) {
      const { op, type } = ensure(this.#graph.values[tensorId], "value");
      if (op === "constant") continue;
      const dims = ensure(this.#dims[tensorId], "dims");
      for (let d = 0; d < map.length; d++) {
        const dim = ensure(dims[d], "dim");
        if (dim.closed) continue;
        const proposed = this.#proposedAtoms(claimed, map[d] ?? [], all);
        if (proposed.length <= dim.atoms.length || !startsWith(proposed, dim.atoms)) continue;
        for (const atom of proposed.slice(dim.atoms.length)) {
          if (this.#isUsed(tensorId, atom) || !divides(this.#mesh, dim.atoms, atom, type.dims[d] ?? 1)) break;
          this.#split(tensorId, dim, atom, { ...ensure(this.#opOrigins[id]?.get(atom), "origin"), via: id });
          changed = true;
        }
      }
    }
    return changed;
  }

  /** The atoms of the factors of a dim, up to the first factor that is not fully split. */
  #proposedAtoms(claimed: readonly (readonly AtomId[])[], factors: readonly number[], all: OpFactors["factors"]): readonly AtomId[] {
    const [only] = factors;
    if (factors.length === 1 && only !== undefined) return claimed[only] ?? [];
    const proposed: AtomId[] = [];
    for (const f of factors) {
      const mine = claimed[f] ?? [];
      proposed.push(...mine);
      if (atomsSize(this.#mesh, mine) !== all[f]?.size) break;
    }
    return proposed;
  }
}

/** The values between whose dims an op propagates shardings: none for values without operands, and only the result of a constrain. */
function tensorsOf({ id, op, inputs }: Value, rule: OpFactors): (readonly [ValueId, FactorMap])[] {
  if (op === "constant" || op === "parameter") return [];
  const operands = op === "constrain" ? [] : inputs.map((input, i) => [input, rule.inputs[i] ?? []] as const);
  return [...operands, [id, rule.output]];
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
function splitByFactor(mesh: Mesh, atoms: readonly AtomId[], size: number): [readonly AtomId[], readonly AtomId[]] {
  let rest = size;
  for (let i = 0; i < atoms.length; i++) {
    if (rest === 1) return [atoms.slice(0, i), atoms.slice(i)];
    const atom = atomOf(mesh, ensure(atoms[i], "atom")).size;
    if (rest % atom !== 0) return [atoms.slice(0, i), []];
    rest /= atom;
  }
  return [atoms, []];
}

function startsWith(list: readonly AtomId[], prefix: readonly AtomId[]): boolean {
  for (let i = 0; i < prefix.length; i++) if (list[i] !== prefix[i]) return false;
  return true;
}

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
