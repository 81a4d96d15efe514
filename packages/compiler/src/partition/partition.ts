import { ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomsSize, printAtoms } from "@lapidary/topology";
import {
  type Graph,
  GraphBuilder,
  type OpName,
  type Phase,
  type Region,
  type RegionScope,
  type Sharding,
  type Value,
  type ValueExtras,
  type ValueId,
  type ValueOf,
  localDims,
  makeScope,
  makesOwnPart,
  opDef,
  passOf,
  regionsOf,
  sameAtomSet,
  sameSharding,
} from "@lapidary/ir";
import { type Propagated, type ReductionPoints, newPartialSums, findReductionPoints, propagatedPartialSums } from "../propagate/index.js";
import { type Causes, causesOf, permuteReason, reasonFor } from "./reasons.js";
import { bytesPerChip, reshard } from "./reshard.js";

export interface PartitionOptions {
  /**
   * Whether gathered params are freed after the forward pass and gathered again in the backward pass, as in ZeRO-3. If false, they are kept.
   */
  readonly regather: boolean;
}

/**
 * Converts a graph with shardings to the program of one chip, with local shapes and explicit collectives.
 *
 * Values are visited in order. An op runs in the sharding of its factors, which propagation has decided. Each operand is resharded
 * to that sharding, from the existing version with the lowest cost. The result has the sharding of the factors, and is unreduced
 * over the atoms of reduced factors. Versions are kept, so that a second use needs no communication.
 *
 * Invariants
 * - every value of the program has a sharding, and its type is the local part of the global type;
 * - only linear ops and reductions read partial sums;
 * - a carry has the sharding of its yield, and values of a region stay in the region;
 * - values with a role (params, gradients, metrics), and outputs, end in the sharding that propagation gave them.
 */
export function partition(propagated: Propagated, mesh: Mesh, { regather = true }: Partial<PartitionOptions> = {}): Graph {
  const partitioner = new Partitioner(propagated, mesh, regather);
  const regions = new Map(regionsOf(propagated.graph).map((region) => [region.id, region]));
  for (const value of propagated.graph.values) {
    const region = regions.get(value.scope.region?.id ?? -1);
    if (value.op === "carry") {
      if (value.id === region?.carries[0]) partitioner.openRegion(region);
    } else if (value.op === "yield") {
      if (value.id === region?.yields[0]) partitioner.closeRegion(region);
    } else partitioner.add(value);
  }
  return partitioner.finish();
}

/** Builds the program of one chip. */
class Partitioner {
  readonly #propagated: Propagated;
  readonly #causes: Causes;
  readonly #mesh: Mesh;
  readonly #regather: boolean;
  readonly #source: Graph;
  readonly #g: GraphBuilder;
  readonly #points: ReductionPoints;
  /** By value of the source, its values in the program: one for each sharding that a use requested. */
  readonly #versions: Value[][];
  readonly #ofParams: readonly boolean[];
  /** Versions that an all_gather computed, and those that later steps of the reshard computed from them. */
  readonly #gathered = new Set<ValueId>();

  constructor(propagated: Propagated, mesh: Mesh, regather: boolean) {
    this.#propagated = propagated;
    this.#causes = causesOf(propagated);
    this.#mesh = mesh;
    this.#regather = regather;
    this.#source = propagated.graph;
    this.#g = new GraphBuilder(this.#source.name, "chip", mesh);
    this.#points = findReductionPoints(propagated, mesh);
    this.#versions = this.#source.values.map(() => []);
    this.#ofParams = dependOnParamsOnly(this.#source);
  }

  /** Adds a value of the source. Its operands must have been added. */
  add(value: Value): void {
    const { id, role } = value;
    const sharding = ensure(value.sharding, "sharding");
    if (makesOwnPart(value.op)) {
      if (role !== undefined) this.#materialize(value, sharding, value.scope.region);
      return;
    }
    if (value.op === "parameter") {
      const type = { dtype: value.type.dtype, dims: localDims(this.#mesh, value.type.dims, sharding) };
      this.#keep(id, this.#g.push("parameter", [], value.attrs, type, extrasOf(value, sharding)));
      return;
    }
    this.#keep(id, this.#emitLocal(value));
    const text = role === "gathered" ? "a rollout" : `the ${role} itself`;
    if (role !== undefined) this.#version(id, sharding, { text, phase: value.scope.phase, region: value.scope.region });
  }

  /**
   * Adds the carries of a region. All reshards of their initial values precede the region, so that the values of the region are neighbours.
   * A carry that begins with zeros may have partial sums.
   */
  openRegion({ carries }: Region): void {
    const prepared = carries.map((id) => {
      const value = this.#globalOf(id);
      const { rule, atoms } = ensure(this.#propagated.factors[id], "op sharding");
      const unreduced = this.#points.deferred[id] === true ? [...(this.#points.potential[id] ?? [])] : [];
      const sharding: Sharding = {
        dims: rule.output.map((factors) => factors.flatMap((f) => atoms[f] ?? [])),
        unreduced,
        reduction: "sum",
      };
      const wanted: Sharding = { ...sharding, unreduced: [] };
      const request = { use: value, text: `the first iteration of ${value.name}`, phase: value.scope.phase, region: undefined };
      return { value, sharding, initial: this.#version(ensure(value.inputs[0], "initial"), wanted, request) };
    });
    for (const { value, sharding, initial } of prepared)
      this.#keep(value.id, this.#g.op("carry", [initial], {}, extrasOf(value, sharding)));
  }

  /** Adds the yields of a region: every value of the next iteration in the sharding of its carry. */
  closeRegion({ yields }: Region): void {
    const prepared = yields.map((id) => {
      const value = this.#globalOf(id);
      const [carry, next] = value.inputs.map((input) => this.#globalOf(input)) as [Value, Value];
      const carried = ensure(this.#versions[carry.id]?.[0], "carry");
      const request = { use: value, text: `the next iteration of ${value.name}`, phase: next.scope.phase, region: value.scope.region };
      return { value, carried, next: this.#version(next.id, ensure(carried.sharding, "sharding"), request) };
    });
    for (const { value, carried, next } of prepared)
      this.#keep(value.id, this.#g.op("yield", [carried, next], {}, extrasOf(value, ensure(carried.sharding, "sharding"))));
    for (const { value } of prepared)
      if (value.role !== undefined)
        this.#version(value.id, ensure(value.sharding, "sharding"), {
          text: `the ${value.role} itself`,
          phase: value.scope.phase,
          region: undefined,
        });
  }

  /** Adds the outputs: a next state in the sharding of the state, any other output in its own sharding. */
  finish(): Graph {
    const parameters = new Map(this.#source.values.flatMap((v) => (v.op === "parameter" ? [[v.attrs.name, v] as const] : [])));
    for (const { name, value } of this.#source.outputs) {
      const state = parameters.get(name);
      const wanted = ensure((state ?? this.#globalOf(value)).sharding, "sharding");
      const text = state === undefined ? `the output ${name}` : `the next ${name}, like the current one,`;
      const { role, scope } = this.#globalOf(value);
      // Forward passes read a gathered weight, so it is the version that its own pass gathered.
      this.#g.output(name, this.#version(value, wanted, { text, phase: role === "gathered" ? scope.phase : "update", region: undefined }));
    }
    return this.#g.finish();
  }

  #globalOf(id: ValueId): Value {
    return ensure(this.#source.values[id], "value");
  }

  #keep(id: ValueId, made: Value): Value {
    this.#versions[id]?.push(made);
    return made;
  }

  /** The op itself, on local parts. */
  #emitLocal(value: Value): Value {
    const opSharding = ensure(this.#propagated.factors[value.id], "op sharding");
    const { rule, atoms } = opSharding;
    const created = newPartialSums(opSharding);
    const unreducedOf = new Map(value.inputs.map((id) => [id, this.#unreducedAtoms(id)]));
    const splitAtoms = atoms.flat();
    const propagated =
      created.kind === "sum" || created.atoms.length === 0
        ? propagatedPartialSums(this.#source, value, (id) => unreducedOf.get(id) ?? [], splitAtoms)
        : [];
    const operands = value.inputs.map((id, i) => {
      const dims = (rule.inputs[i] ?? []).map((factors) => factors.flatMap((f) => atoms[f] ?? []));
      const unreduced = propagated.length > 0 && (unreducedOf.get(id)?.length ?? 0) > 0 ? propagated : [];
      const wanted: Sharding = { dims, unreduced, reduction: "sum" };
      return this.#version(id, wanted, {
        use: value,
        text: `${value.op} ${value.name}`,
        phase: value.scope.phase,
        region: value.scope.region,
      });
    });
    const sharding: Sharding = {
      dims: rule.output.map((factors) => factors.flatMap((f) => atoms[f] ?? [])),
      unreduced: [...created.atoms, ...propagated],
      reduction: created.atoms.length > 0 ? created.kind : "sum",
    };
    // The operand is in the sharding of the result, so that nothing is left to compute.
    if (value.op === "constrain") return ensure(operands[0], "operand");
    if (value.op === "shift") {
      const splitting = sharding.dims[value.attrs.dimension] ?? [];
      if (splitting.length > 0) return this.#emitPermute(value, ensure(operands[0], "operand"), sharding, splitting);
    }
    const dims = localDims(this.#mesh, value.type.dims, sharding);
    const attrs = opDef<OpName>(value.op).localize(
      value.attrs,
      operands.map((o) => o.type.dims),
      dims,
    );
    return this.#g.op(value.op, operands, attrs, extrasOf(value, sharding));
  }

  /** A shift of a dim that atoms split. */
  #emitPermute(value: ValueOf<"shift">, operand: Value, sharding: Sharding, atoms: readonly AtomId[]): Value {
    const axes = { axes: printAtoms(this.#mesh, atoms), size: atomsSize(this.#mesh, atoms) };
    const extras = { ...extrasOf(value, sharding), cause: permuteReason(this.#mesh, value, atoms) };
    return this.#g.op("collective_permute", [operand], { ...axes, ...value.attrs }, extras);
  }

  /** Atoms over which the uses of a value may read it unreduced. */
  #unreducedAtoms(id: ValueId): readonly AtomId[] {
    if (this.#points.deferred[id] !== true) return [];
    const natural = this.#versions[id]?.[0];
    return natural?.sharding?.unreduced ?? [];
  }

  /** The value in the wanted sharding: a version that exists, or the cheapest reshard from one. */
  #version(id: ValueId, wanted: Sharding, request: VersionRequest): Value {
    const value = this.#globalOf(id);
    const known = ensure(this.#versions[id], "versions").filter(
      (v) =>
        isVisible(v, request.region) &&
        !(this.#regather && this.#ofParams[id] === true && this.#gathered.has(v.id) && passOf(v.scope.phase) !== passOf(request.phase)),
    );
    const found = known.find((v) => sameSharding(ensure(v.sharding, "sharding"), wanted));
    if (found !== undefined) return found;
    if (makesOwnPart(value.op)) return this.#materialize(value, wanted, request.region);
    // A constrain has no value of its own. If its versions were gathered for another pass, this pass gathers the operand itself.
    if (known.length === 0 && value.op === "constrain") return this.#version(ensure(value.inputs[0], "operand"), wanted, request);
    const from = ensure(
      this.#cheapest(
        known.filter((each) => canReshard(ensure(each.sharding, "sharding"), wanted)),
        wanted,
      ),
      `a path for ${value.name}`,
    );
    const before = this.#g.values.length;
    const made = reshard(this.#g, this.#mesh, from, wanted, {
      cause: reasonFor(this.#causes, this.#mesh, value, ensure(from.sharding, "sharding"), wanted, request),
      phase: request.phase,
      region: request.region,
      line: request.use?.scope.line,
    });
    for (const step of this.#g.values.slice(before)) {
      this.#keep(id, step);
      if (step.op === "all_gather" || this.#gathered.has(ensure(step.inputs[0], "operand"))) this.#gathered.add(step.id);
    }
    return made;
  }

  /** Adds a value without operands, such as a constant, in the sharding of its use and in the region of its use. */
  #materialize(value: Value, sharding: Sharding, region: RegionScope | undefined): Value {
    const clean: Sharding = { dims: sharding.dims, unreduced: [], reduction: "sum" };
    const existing = this.#versions[value.id]?.find((v) => isVisible(v, region) && sameSharding(ensure(v.sharding, "sharding"), clean));
    if (existing !== undefined) return existing;
    const dims = localDims(this.#mesh, value.type.dims, clean);
    const attrs = opDef<OpName>(value.op).localize(value.attrs, [], dims);
    const extras = { ...extrasOf(value, clean), scope: makeScope({ ...value.scope, region }) };
    return this.#keep(value.id, this.#g.push(value.op, [], attrs, { dtype: value.type.dtype, dims }, extras));
  }

  /** The version from which the reshard sends the fewest bytes; the first of equals. */
  #cheapest(versions: readonly Value[], wanted: Sharding): Value | undefined {
    if (versions.length < 2) return versions[0];
    const paths = versions.map((from) => ({ from, bytes: this.#costOf(from, wanted) }));
    return paths.reduce((a, b) => (b.bytes < a.bytes ? b : a)).from;
  }

  #costOf(from: Value, wanted: Sharding): number {
    const trial = new GraphBuilder("trial", "chip", this.#mesh);
    const start = trial.push("parameter", [], { name: "x" }, from.type, { sharding: from.sharding });
    reshard(trial, this.#mesh, start, wanted, { cause: "", phase: "forward", region: undefined });
    return trial.values.slice(1).reduce((sum, v) => sum + bytesPerChip(v, ensure(trial.values[v.inputs[0] ?? 0], "operand")), 0);
  }
}

/** The use for which a version of a value is needed. */
interface VersionRequest {
  readonly use?: Value;
  readonly text: string;
  readonly phase: Phase;
  /** The region of the use, in which a new version is computed. */
  readonly region: RegionScope | undefined;
}

/** Whether a use in `region` may read a version: a body reads values before the region, and later values read only yields. */
const isVisible = ({ op, scope }: Value, region: RegionScope | undefined): boolean =>
  scope.region === undefined || (scope.region.id === region?.id) !== (op === "yield");

/** Whether a reshard between the shardings exists: a reshard can reduce partial sums, but cannot create them. */
const canReshard = (from: Sharding, wanted: Sharding): boolean =>
  wanted.unreduced.every((atom) => from.unreduced.includes(atom)) &&
  (wanted.unreduced.length === 0 || sameAtomSet(from.unreduced, wanted.unreduced) || wanted.unreduced.length < from.unreduced.length);

function extrasOf(value: Value, sharding: Sharding): ValueExtras {
  return { name: value.name, logicalAxes: value.logicalAxes, role: value.role, scope: value.scope, sharding };
}

/** Whether each value depends only on params and constants. */
function dependOnParamsOnly(graph: Graph): boolean[] {
  const only: boolean[] = [];
  for (const value of graph.values)
    only.push(value.op === "parameter" ? value.role === "param" : value.inputs.every((id) => only[id] === true));
  return only;
}
