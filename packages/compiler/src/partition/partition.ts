import { must } from "@lapidary/std";
import { type AtomId, type Mesh } from "@lapidary/topology";
import {
  type Graph,
  GraphBuilder,
  type OpName,
  type Phase,
  type Sharding,
  type Value,
  type ValueExtras,
  type ValueId,
  localDims,
  makesOwnPart,
  opDef,
  passOf,
  sameAtomSet,
  sameSharding,
} from "@lapidary/ir";
import { type Propagated, type ReductionPoints, bornUnreduced, findReductionPoints, passingAtoms } from "../propagate/index.js";
import { reasonFor } from "./reasons.js";
import { bytesPerChip, reshard } from "./reshard.js";

export interface PartitionOptions {
  /**
   * Whether what was gathered of the params in the forward pass is gathered again in the backward one (and meanwhile freed), as ZeRO-3 does, or kept.
   */
  readonly regather: boolean;
}

/**
 * From a graph with shardings to the program of one chip: local shapes and explicit collectives.
 *
 * Values are visited in order. An op runs in the sharding of its factors (propagation has settled them); each operand is brought into
 * the sharding that the op's factors ask of it by the cheapest way from one of the versions that exist; the result lies as the factors say, unreduced
 * over those that were summed away. Versions are kept, so that a second use pays nothing.
 *
 * Invariants
 * - every value of the program has a sharding, and its type is the local part of the global type;
 * - a partial sum meets only ops that are linear in it, or its reduction;
 * - values with a role (params, gradients, metrics), and outputs, end in the sharding that propagation gave them.
 */
export function partition(propagated: Propagated, mesh: Mesh, { regather = true }: Partial<PartitionOptions> = {}): Graph {
  const source = propagated.graph;
  const g = new GraphBuilder(source.name, "chip", mesh);
  const points = findReductionPoints(propagated, mesh);
  const versions: Value[][] = source.values.map(() => []);
  const ofParams = dependOnParamsOnly(source);
  /** Versions that hold what a gather brought together. */
  const gathered = new Set<ValueId>();
  const globalOf = (id: ValueId): Value => must(source.values[id], "value");

  for (const value of source.values) {
    if (makesOwnPart(value.op)) {
      if (value.role !== undefined) keep(value.id, materialize(value, must(value.sharding, "sharding")));
      continue;
    }
    if (value.op === "parameter") {
      const sharding = must(value.sharding, "sharding");
      keep(
        value.id,
        g.push(
          "parameter",
          [],
          value.attrs,
          { dtype: value.type.dtype, dims: localDims(mesh, value.type.dims, sharding) },
          extrasOf(value, sharding),
        ),
      );
      continue;
    }
    keep(value.id, emitLocal(value));
    if (value.role !== undefined)
      version(value.id, must(value.sharding, "sharding"), { text: `the ${value.role} itself`, phase: value.scope.phase });
  }
  for (const { name, value } of source.outputs) {
    const state = source.values.find((v) => v.op === "parameter" && v.attrs.name === name);
    const wanted = must((state ?? globalOf(value)).sharding, "sharding");
    g.output(
      name,
      version(value, wanted, {
        text: state === undefined ? `the output ${name}` : `the next ${name}, like the present one,`,
        phase: "update",
      }),
    );
  }
  return g.finish();

  function keep(id: ValueId, made: Value): Value {
    versions[id]?.push(made);
    return made;
  }

  /** The op itself, on local parts. */
  function emitLocal(value: Value): Value {
    const opSharding = must(propagated.factors[value.id], "op sharding");
    const { rule, atoms } = opSharding;
    const born = bornUnreduced(opSharding);
    const carried = new Map(value.inputs.map((id) => [id, carriedAtoms(points, id)]));
    const own = atoms.flat();
    const passing = born.kind === "sum" || born.atoms.length === 0 ? passingAtoms(source, value, (id) => carried.get(id) ?? [], own) : [];
    const operands = value.inputs.map((id, i) => {
      const dims = (rule.inputs[i] ?? []).map((factors) => factors.flatMap((f) => atoms[f] ?? []));
      const unreduced = passing.length > 0 && (carried.get(id)?.length ?? 0) > 0 ? passing : [];
      const wanted: Sharding = { dims, unreduced, reduction: "sum" };
      return version(id, wanted, { use: value, text: `${value.op} ${value.name}`, phase: value.scope.phase });
    });
    const sharding: Sharding = {
      dims: rule.output.map((factors) => factors.flatMap((f) => atoms[f] ?? [])),
      unreduced: [...born.atoms, ...passing],
      reduction: born.atoms.length > 0 ? born.kind : "sum",
    };
    const dims = localDims(mesh, value.type.dims, sharding);
    const attrs = opDef<OpName>(value.op).localize(
      value.attrs,
      operands.map((o) => o.type.dims),
      dims,
    );
    return g.op(value.op, operands, attrs, extrasOf(value, sharding));
  }

  /** Atoms over which partial sums of a value may be handed on, now that it has been made. */
  function carriedAtoms(decided: ReductionPoints, id: ValueId): readonly AtomId[] {
    if (decided.carried[id] !== true) return [];
    const natural = versions[id]?.[0];
    return natural?.sharding?.unreduced ?? [];
  }

  /** The value in the wanted sharding: a version that exists, or the cheapest reshard from one. */
  function version(id: ValueId, wanted: Sharding, wish: { readonly use?: Value; readonly text: string; readonly phase: Phase }): Value {
    const value = globalOf(id);
    const known = must(versions[id], "versions").filter(
      (v) => !(regather && ofParams[id] === true && gathered.has(v.id) && passOf(v.scope.phase) !== passOf(wish.phase)),
    );
    const found = known.find((v) => sameSharding(must(v.sharding, "sharding"), wanted));
    if (found !== undefined) return found;
    if (makesOwnPart(value.op)) return keep(id, materialize(value, wanted));
    const ways = known
      .filter((from) => reaches(must(from.sharding, "sharding"), wanted))
      .map((from) => ({ from, bytes: costOf(from, wanted) }));
    const best = must(
      ways.reduce<(typeof ways)[number] | undefined>((a, b) => (a === undefined || b.bytes < a.bytes ? b : a), undefined),
      `a way for ${value.name}`,
    );
    const before = g.values.length;
    const made = reshard(g, mesh, best.from, wanted, {
      cause: reasonFor(propagated, mesh, value, must(best.from.sharding, "sharding"), wanted, wish),
      phase: wish.phase,
    });
    for (const step of g.values.slice(before)) {
      keep(id, step);
      if (step.op === "all_gather" || gathered.has(must(step.inputs[0], "operand"))) gathered.add(step.id);
    }
    return made;
  }

  /** Constants and the like are made where they are needed, in the sharding that is needed. */
  function materialize(value: Value, sharding: Sharding): Value {
    const clean: Sharding = { dims: sharding.dims, unreduced: [], reduction: "sum" };
    const existing = versions[value.id]?.find((v) => sameSharding(must(v.sharding, "sharding"), clean));
    if (existing !== undefined) return existing;
    const dims = localDims(mesh, value.type.dims, clean);
    return g.push(
      value.op,
      [],
      opDef<OpName>(value.op).localize(value.attrs, [], dims),
      { dtype: value.type.dtype, dims },
      extrasOf(value, clean),
    );
  }

  function costOf(from: Value, wanted: Sharding): number {
    const trial = new GraphBuilder("trial", "chip", mesh);
    const start = trial.push("parameter", [], { name: "x" }, from.type, { sharding: from.sharding });
    reshard(trial, mesh, start, wanted, { cause: "", phase: "forward" });
    return trial.values.slice(1).reduce((sum, v) => sum + bytesPerChip(v, must(trial.values[v.inputs[0] ?? 0], "operand")), 0);
  }
}

/** Whether a reshard can lead there: partial sums can be reduced but not made. */
const reaches = (from: Sharding, wanted: Sharding): boolean =>
  wanted.unreduced.every((atom) => from.unreduced.includes(atom)) &&
  (wanted.unreduced.length === 0 || sameAtomSet(from.unreduced, wanted.unreduced) || wanted.unreduced.length < from.unreduced.length);

function extrasOf(value: Value, sharding: Sharding): ValueExtras {
  return { name: value.name, logicalAxes: value.logicalAxes, role: value.role, scope: value.scope, sharding };
}

/** Whether a value follows from params and constants alone: what every replica would gather alike. */
function dependOnParamsOnly(graph: Graph): boolean[] {
  const only: boolean[] = [];
  for (const value of graph.values)
    only.push(value.op === "parameter" ? value.role === "param" : value.inputs.every((id) => only[id] === true));
  return only;
}
