import { must } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, atomsSize } from "@lapidary/topology";
import {
  type FactorMap,
  type Graph,
  type OpFactors,
  type OpName,
  type Sharding,
  type Value,
  type ValueId,
  opDef,
  parametersOf,
} from "@lapidary/ir";
import { bornUnreduced, passingAtoms } from "./partial-sums.js";
import { findReductionPoints } from "./reduction-points.js";
import { type LogicalAxisRules, Priority, type ZeroOptions, checkRules } from "./rules.js";
import { logicalNames, seedsOfGraph } from "./seeds.js";
import { type Shortfall, findShortfalls } from "./shortfalls.js";

export interface PropagateOptions {
  readonly mesh: Mesh;
  readonly rules: LogicalAxisRules;
  readonly zero: ZeroOptions;
  /** Rules that were left out because no part of their axes divides the dims: they split nothing, but are reported as shortfalls. */
  readonly undivided?: LogicalAxisRules;
  /** Shardings that are given, by value name: they come before all rules (tests, constraints of the user). */
  readonly constraints?: ReadonlyMap<string, Sharding>;
  /** Shardings of states, by name, in place of ZeRO's: like these they claim only what the rules leave (what an alternative would cost). */
  readonly assumed?: ReadonlyMap<string, Sharding>;
}

/** A sharding for every value, and for every op the atoms of each of its factors. */
export interface Propagated {
  readonly graph: Graph;
  /** By value: the op's factors and the atoms that split each of them. */
  readonly factors: readonly OpSharding[];
  /** By value, by atom that splits it: where that comes from. */
  readonly origins: readonly ReadonlyMap<AtomId, Origin>[];
  /** By op, by atom that splits a factor of it: likewise. */
  readonly opOrigins: readonly ReadonlyMap<AtomId, Origin>[];
  /** Claims that lost. */
  readonly conflicts: readonly Conflict[];
  /** Rules and ZeRO that split a dim less than they ask, or not at all. */
  readonly shortfalls: readonly Shortfall[];
}

/** Why an atom splits a value: the rule at the root, and the op that brought it here. */
export interface Origin {
  /** Of the claim at the root: which kind of rule it is. */
  readonly priority: Priority;
  /** For display: `rule mlp → model`, `ZeRO-3 (params → data)`, `given`. */
  readonly root: string;
  /** The op from which the value has it; absent where the rule speaks of the value itself. */
  readonly via?: ValueId;
}

/**
 * A dim of an operand or result asked for an axis that another factor of the op, or partial sums, had taken. The stated rule: the lower priority number
 * wins (given, batch, rule, activation, zero), and among equals the one that came first.
 */
export interface Conflict {
  readonly op: ValueId;
  readonly tensor: ValueId;
  readonly dimension: number;
  readonly atoms: readonly AtomId[];
  /** The claim that was dropped; absent if the dim holds the atoms by no claim. */
  readonly lost: Origin | undefined;
  readonly winner: ConflictWinner;
}

/** What holds the atoms in the op: another claim, or partial sums that pass through. The op may also need the dim whole, and nothing holds them. */
export type ConflictWinner =
  | { readonly kind: "claim"; readonly origin: Origin }
  | { readonly kind: "partialSums" }
  | { readonly kind: "wholeDim" };

export interface OpSharding {
  readonly rule: OpFactors;
  readonly atoms: readonly (readonly AtomId[])[];
}

interface DimState {
  atoms: AtomId[];
  /** Closed dims take no more atoms: what a rule, ZeRO or a constraint has decided. */
  closed: boolean;
}

/**
 * Spreads the shardings that rules give to some values over the whole graph.
 *
 * Each op has *factors* (see `OpFactors`); an atom on a dim is an atom on its factor, and comes to all dims of that factor. Priorities
 * are settled one after the other, each to a fixed point: batch, then the rules on params, then ZeRO. Within an op an atom belongs to the factor
 * that claimed it first; a later claim of another factor is dropped there, and partition inserts a reshard. Ops are swept forward and
 * backward in turn until nothing changes.
 *
 * Invariants
 * - only params, states and batch are closed; every other value is open;
 * - a factor is split by a list of atoms that is a prefix of, or equal to, what each of its dims holds for it;
 * - constants spread nothing: partition makes them in whatever sharding a use needs.
 */
export function propagate(graph: Graph, options: PropagateOptions): Propagated {
  const { mesh } = options;
  checkRules(mesh, options.rules, new Set(graph.values.flatMap(logicalNames)));
  const dims: DimState[][] = graph.values.map((value) => value.type.dims.map(() => ({ atoms: [], closed: false })));
  const origins: Map<AtomId, Origin>[] = graph.values.map(() => new Map());
  const opOrigins: Map<AtomId, Origin>[] = graph.values.map(() => new Map());
  const seeds = seedsOfGraph(graph, options);
  const rules = graph.values.map((value) => factorsOf(graph, value));
  const opAtoms: AtomId[][][] = rules.map((rule) => rule.factors.map(() => []));

  graph.values.forEach((value, id) => {
    if (isClosed(value, options)) for (const dim of dims[id] ?? []) dim.closed = true;
  });
  let taken: AtomId[][] = graph.values.map(() => []);
  for (const priority of Object.values(Priority)) {
    placeSeeds(priority);
    taken = passingPartialSums();
    for (let changed = true; changed; ) {
      changed = false;
      for (let id = 0; id < graph.values.length; id++) changed = visit(id) || changed;
      for (let id = graph.values.length - 1; id >= 0; id--) changed = visit(id) || changed;
    }
  }

  const values = shardedValues();
  return {
    graph: { ...graph, mesh, values },
    factors: opShardings(),
    origins,
    opOrigins,
    conflicts: findConflicts(),
    shortfalls: findShortfalls(mesh, seeds),
  };

  /** What each op would have been split by, had all its dims had their way. */
  function findConflicts(): Conflict[] {
    return graph.values.flatMap((value, id) => {
      if (value.op === "constant" || value.op === "parameter") return [];
      const rule = must(rules[id], "factors");
      const maps: [ValueId, FactorMap][] = [
        ...value.inputs.map((input, i): [ValueId, FactorMap] => [input, rule.inputs[i] ?? []]),
        [id, rule.output],
      ];
      return maps.flatMap(([tensor, map]) =>
        map.flatMap((factors, dimension) => {
          const settled = factors.flatMap((f) => opAtoms[id]?.[f] ?? []);
          const lost = (dims[tensor]?.[dimension]?.atoms ?? []).filter((atom) => !settled.includes(atom));
          if (lost.length === 0 || graph.values[tensor]?.op === "constant") return [];
          const first = must(lost[0], "atom");
          return [{ op: id, tensor, dimension, atoms: lost, lost: origins[tensor]?.get(first), winner: winnerOf(id, first) }];
        }),
      );
    });
  }

  function winnerOf(op: ValueId, atom: AtomId): ConflictWinner {
    const origin = opOrigins[op]?.get(atom);
    if (origin !== undefined) return { kind: "claim", origin };
    return { kind: taken[op]?.includes(atom) === true ? "partialSums" : "wholeDim" };
  }

  function shardedValues(): Value[] {
    return graph.values.map((value, id) => ({
      ...value,
      sharding: { dims: (dims[id] ?? []).map((dim) => dim.atoms), unreduced: [], reduction: "sum" as const },
    })) as Value[];
  }

  function opShardings(): OpSharding[] {
    return rules.map((rule, id) => ({ rule, atoms: must(opAtoms[id], "atoms of an op") }));
  }

  /**
   * By value, the atoms of partial sums that pass through its op as things stand. Such an atom is taken: the op cannot split a factor by it
   * before the sum, so that two products which are added are reduced once, behind the add.
   */
  function passingPartialSums(): AtomId[][] {
    const state = { graph: { ...graph, mesh, values: shardedValues() }, factors: opShardings() };
    const { carried, potential } = findReductionPoints(state, mesh);
    const held = (id: ValueId): readonly AtomId[] => (carried[id] === true ? (potential[id] ?? []) : []);
    return graph.values.map((value, id) =>
      bornUnreduced(must(state.factors[id], "op sharding")).kind === "sum"
        ? passingAtoms(graph, value, held, opAtoms[id]?.flat() ?? [])
        : [],
    );
  }

  function placeSeeds(priority: Priority): void {
    seeds.forEach((list, id) => {
      list.forEach((ofDim, d) => {
        const dim = must(dims[id]?.[d], "dim");
        for (const seed of ofDim.filter((s) => s.priority === priority)) {
          for (const atom of seed.atoms) {
            if (isUsed(id, atom) || !divides(mesh, dim.atoms, atom, must(graph.values[id], "value").type.dims[d] ?? 1)) continue;
            dim.atoms.push(atom);
            origins[id]?.set(atom, { priority, root: seed.cause });
          }
        }
      });
    });
  }

  function isUsed(id: ValueId, atom: AtomId): boolean {
    return (dims[id] ?? []).some((dim) => dim.atoms.includes(atom));
  }

  /** One op: claims of its dims to its factors, and back to its dims. */
  function visit(id: ValueId): boolean {
    const value = must(graph.values[id], "value");
    if (value.op === "constant" || value.op === "parameter") return false;
    const rule = must(rules[id], "factors");
    const claimed = must(opAtoms[id], "atoms");
    const tensors: [ValueId, FactorMap][] = [
      ...value.inputs.map((input, i): [ValueId, FactorMap] => [input, rule.inputs[i] ?? []]),
      [id, rule.output],
    ];
    let changed = false;
    /** A minor factor of a dim can be split only where the factors before it are split to the full: a chip's part is contiguous. */
    const isReachable = (f: number): boolean =>
      tensors.every(([, map]) =>
        map.every((factors) =>
          factors
            .slice(0, Math.max(0, factors.indexOf(f)))
            .every((major) => atomsSize(mesh, claimed[major] ?? []) === rule.factors[major]?.size),
        ),
      );
    for (const [tensorId, map] of tensors)
      map.forEach((factors, d) => {
        let rest = dims[tensorId]?.[d]?.atoms ?? [];
        for (const f of factors) {
          const factor = must(rule.factors[f], "factor");
          const mine = must(claimed[f], "claimed");
          const [own, after] = splitByFactor(mesh, rest, factor.size);
          rest = after;
          if (factor.kind === "replicate" || own.length === mine.length || !startsWith(own, mine) || !isReachable(f)) continue;
          for (const atom of own.slice(mine.length)) {
            if (claimed.some((other) => other.includes(atom)) || taken[id]?.includes(atom) === true) break;
            mine.push(atom);
            opOrigins[id]?.set(atom, must(origins[tensorId]?.get(atom), "origin"));
            changed = true;
          }
        }
      });
    for (const [tensorId, map] of tensors) {
      if (graph.values[tensorId]?.op === "constant") continue;
      map.forEach((factors, d) => {
        const dim = must(dims[tensorId]?.[d], "dim");
        if (dim.closed) return;
        const proposed: AtomId[] = [];
        for (const f of factors) {
          const mine = claimed[f] ?? [];
          proposed.push(...mine);
          if (atomsSize(mesh, mine) !== rule.factors[f]?.size) break;
        }
        if (!startsWith(proposed, dim.atoms)) return;
        for (const atom of proposed.slice(dim.atoms.length)) {
          if (isUsed(tensorId, atom) || !divides(mesh, dim.atoms, atom, graph.values[tensorId]?.type.dims[d] ?? 1)) break;
          dim.atoms.push(atom);
          origins[tensorId]?.set(atom, { ...must(opOrigins[id]?.get(atom), "origin"), via: id });
          changed = true;
        }
      });
    }
    return changed;
  }
}

/** Params, states and batch are as the rules say; so is whatever a constraint names, and a gradient at ZeRO-1 and below. */
function isClosed(value: Value, options: PropagateOptions): boolean {
  return (
    value.role === "param" ||
    value.role === "optimizer" ||
    value.role === "gradient" ||
    value.role === "batch" ||
    options.constraints?.has(value.name) === true
  );
}

function factorsOf(graph: Graph, value: Value): OpFactors {
  const def = opDef<OpName>(value.op);
  const rule = must(def.factors, `sharding rule of ${value.op}`);
  return rule(
    value.inputs.map((id) => must(graph.values[id], "operand").type),
    value.type,
    value.attrs,
  );
}

/** Atoms of a dim that fall on a factor of `size`, and those left for the next factor. Only a factor that is full hands on. */
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

/** A winner in words, for the end of a sentence: `… is taken by rule mlp → model`. */
export function winnerText(winner: ConflictWinner): string {
  switch (winner.kind) {
    case "claim":
      return winner.origin.root;
    case "partialSums":
      return "partial sums that pass through";
    case "wholeDim":
      return "the op needs the dim whole";
  }
}

/** Names of the parameters with their shardings: what a caller needs to place states. */
export const parameterShardings = (graph: Graph): Map<string, Sharding> =>
  new Map(parametersOf(graph).map((p) => [p.attrs.name, must(p.sharding, "sharding")]));
