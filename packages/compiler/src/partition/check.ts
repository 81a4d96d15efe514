import { assert, ensure } from "@lapidary/std";
import { type AtomId, atomsSize, parseAtoms } from "@lapidary/topology";
import {
  type Graph,
  type OpName,
  type Sharding,
  type Value,
  globalDims,
  localDims,
  opDef,
  printSharding,
  printType,
  printValue,
  sameAtomSet,
  sameAtoms,
  sameDims,
  verifyGraph,
} from "@lapidary/ir";

/**
 * Checks the typing rules of per-chip programs. The type of a value is its local shape and its sharding. The checker derives the
 * sharding of every result from those of the operands, and rejects a program with another sharding. The error names the line.
 *
 * - a local op has one list of atoms on each of its factors, in all operands, and no atoms on a factor that it needs whole;
 * - a result is unreduced over the atoms of the reduced factors, and over the partial sums that a linear op propagates;
 * - outputs have no partial sums;
 * - a collective changes only the dims and axes of its attributes: all_gather removes the minor atoms of a dim, and so on.
 */
export function checkProgram(graph: Graph): void {
  assert(graph.level === "chip" && graph.mesh !== undefined, "a per-chip program with a mesh", graph.name);
  verifyGraph(graph);
  for (const value of graph.values) {
    try {
      checkValue(graph, value);
    } catch (error) {
      throw new Error(
        `${graph.name}: ill-typed line ${value.id + 2}: ${printValue(graph, value)}\n  ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  for (const { name, value } of graph.outputs)
    assert(
      ensure(graph.values[value]?.sharding, "sharding").unreduced.length === 0,
      `${graph.name}: ill-typed line ${graph.values.length + 2}: the output ${name} has partial sums`,
    );
}

function checkValue(graph: Graph, value: Value): void {
  const mesh = ensure(graph.mesh, "mesh");
  const sharding = ensure(value.sharding, "a sharding");
  const inputs = value.inputs.map((id) => ensure(graph.values[id], "operand"));
  const input = inputs[0];
  if (opDef<OpName>(value.op).arity === 0) {
    assert(sharding.unreduced.length === 0, "a value without operands has no partial sums");
    return;
  }
  switch (value.op) {
    case "all_gather": {
      const from = ensure(input?.sharding, "sharding");
      const atoms = parseAtoms(mesh, value.attrs.axes);
      expectDims(
        graph,
        sharding,
        from.dims.map((list, d) => (d === value.attrs.dimension ? withoutSuffix(list, atoms) : list)),
      );
      assert(sameAtomSet(sharding.unreduced, from.unreduced), "all_gather does not change partial sums");
      return;
    }
    case "shard_slice": {
      const from = ensure(input?.sharding, "sharding");
      const atoms = parseAtoms(mesh, value.attrs.axes);
      expectDims(
        graph,
        sharding,
        from.dims.map((list, d) => (d === value.attrs.dimension ? [...list, ...atoms] : list)),
      );
      assert(!atoms.some((atom) => from.unreduced.includes(atom)), "shard_slice over an axis that is not unreduced");
      return;
    }
    case "reduce_scatter": {
      const from = ensure(input?.sharding, "sharding");
      const atoms = parseAtoms(mesh, value.attrs.axes);
      expectDims(
        graph,
        sharding,
        from.dims.map((list, d) => (d === value.attrs.dimension ? [...list, ...atoms] : list)),
      );
      expectReduced(from, sharding, atoms, value.attrs.kind);
      return;
    }
    case "all_reduce": {
      const from = ensure(input?.sharding, "sharding");
      expectDims(graph, sharding, from.dims);
      expectReduced(from, sharding, parseAtoms(mesh, value.attrs.axes), value.attrs.kind);
      return;
    }
    case "all_to_all": {
      const from = ensure(input?.sharding, "sharding");
      const atoms = parseAtoms(mesh, value.attrs.axes);
      expectDims(
        graph,
        sharding,
        from.dims.map((list, d) =>
          d === value.attrs.concatDimension ? withoutSuffix(list, atoms) : d === value.attrs.splitDimension ? [...list, ...atoms] : list,
        ),
      );
      assert(sameAtomSet(sharding.unreduced, from.unreduced), "all_to_all does not change partial sums");
      return;
    }
    case "collective_permute": {
      const from = ensure(input?.sharding, "sharding");
      expectDims(graph, sharding, from.dims);
      const splitting = from.dims[value.attrs.dimension] ?? [];
      assert(splitting.length > 0, "the axes of a collective_permute split its dim");
      assert(sameAtoms(splitting, parseAtoms(mesh, value.attrs.axes)), "a collective_permute is over all axes that split its dim");
      assert(sameAtomSet(sharding.unreduced, from.unreduced), "collective_permute does not change partial sums");
      return;
    }
    case "shift":
      assert(sharding.dims[value.attrs.dimension]?.length === 0, "a chip shifts only a dim that it has whole");
      checkLocal(graph, value, inputs, sharding);
      return;
    default:
      checkLocal(graph, value, inputs, sharding);
  }
}

function checkLocal(graph: Graph, value: Value, inputs: readonly Value[], sharding: Sharding): void {
  const mesh = ensure(graph.mesh, "mesh");
  const def = opDef<OpName>(value.op);
  const whole = (v: Value): Value["type"] => ({ dtype: v.type.dtype, dims: globalDims(mesh, v.type.dims, ensure(v.sharding, "sharding")) });
  const output = whole(value);
  const attrs = def.localize(
    value.attrs,
    inputs.map((v) => whole(v).dims),
    output.dims,
  );
  const rule = ensure(def.factors, "a local op")(inputs.map(whole), output, attrs);
  const atoms: (readonly AtomId[] | undefined)[] = rule.factors.map(() => undefined);
  const claim = (lists: readonly (readonly number[])[], of: Value): void =>
    lists.forEach((factors, d) => {
      let rest = ensure(of.sharding, "sharding").dims[d] ?? [];
      for (const f of factors) {
        const factor = ensure(rule.factors[f], "factor");
        const own: AtomId[] = [];
        while (
          rest.length > 0 &&
          factor.size % atomsSize(mesh, [...own, ensure(rest[0], "atom")]) === 0 &&
          atomsSize(mesh, own) < factor.size
        ) {
          own.push(ensure(rest[0], "atom"));
          rest = rest.slice(1);
        }
        assert(factor.kind !== "replicate" || own.length === 0, `dim ${d} of ${of.name} must be whole`);
        const known = atoms[f];
        assert(known === undefined || sameAtoms(known, own), `operands split one factor differently (dim ${d} of ${of.name})`);
        atoms[f] = own;
        assert(
          rest.length === 0 || atomsSize(mesh, own) === factor.size,
          `a minor factor is split, but the major factor is not fully split (dim ${d} of ${of.name})`,
        );
      }
      assert(rest.length === 0, `dim ${d} of ${of.name} is split beyond its factors`);
    });
  inputs.forEach((v, i) => claim(rule.inputs[i] ?? [], v));
  claim(rule.output, value);
  const all = atoms.flatMap((list) => list ?? []);
  assert(new Set(all).size === all.length, "one axis splits two factors");
  const created = rule.factors.flatMap((factor, f) =>
    factor.kind === "reduce" ? (atoms[f] ?? []).map((atom) => ({ atom, kind: factor.reduction ?? "sum" })) : [],
  );
  const unreduced = inputs.map((v) => ensure(v.sharding, "sharding").unreduced);
  const first = unreduced.find((list) => list.length > 0) ?? [];
  if (first.length > 0) {
    const isZero = (v: Value): boolean => v.op === "constant" && v.attrs.value === 0;
    const linear = def
      .linearIn(value.attrs, inputs.length)
      .some((set) =>
        inputs.every((v, i) => (set.includes(i) ? sameAtomSet(unreduced[i] ?? [], first) || isZero(v) : (unreduced[i] ?? []).length === 0)),
      );
    assert(linear, `${value.op} has partial sums as operands, but is not linear in them`);
    assert(
      inputs.every((v, i) => (unreduced[i] ?? []).length === 0 || ensure(v.sharding, "sharding").reduction === "sum"),
      "an op propagates only partial sums, not partial maxima or minima",
    );
    assert(!first.some((atom) => all.includes(atom)), "an axis splits a factor and has partial sums");
  }
  // A carry that begins with zeros has the partial sums of its yield.
  const isZeroCarry = value.op === "carry" && inputs.every((v) => v.op === "constant" && v.attrs.value === 0);
  assert(
    isZeroCarry || sameAtomSet(sharding.unreduced, [...created.map(({ atom }) => atom), ...first]),
    `the result is unreduced over ${printSharding(mesh, { dims: [], unreduced: [...created.map(({ atom }) => atom), ...first], reduction: "sum" })}`,
  );
  assert(
    created.every(({ kind }) => kind === sharding.reduction),
    "the kind of reduction is that of the op",
  );
  assert(sameDims(localDims(mesh, output.dims, sharding), value.type.dims), `local shape ${printType(value.type)}`);
}

function expectDims(graph: Graph, sharding: Sharding, dims: readonly (readonly AtomId[])[]): void {
  assert(
    sharding.dims.every((list, d) => sameAtoms(list, dims[d] ?? [])),
    `the result has the sharding ${printSharding(ensure(graph.mesh, "mesh"), { ...sharding, dims })}`,
  );
}

function expectReduced(from: Sharding, to: Sharding, atoms: readonly AtomId[], kind: string): void {
  assert(
    atoms.every((atom) => from.unreduced.includes(atom)),
    "the operand is unreduced over the axes",
  );
  assert(from.reduction === kind, "the kind of reduction is that of the partial values");
  assert(
    sameAtomSet(
      to.unreduced,
      from.unreduced.filter((atom) => !atoms.includes(atom)),
    ),
    "the result is reduced over the axes",
  );
}

function withoutSuffix(list: readonly AtomId[], suffix: readonly AtomId[]): readonly AtomId[] {
  const kept = list.slice(0, list.length - suffix.length);
  assert(sameAtoms(list.slice(kept.length), suffix), "the axes are the minor end of the dim");
  return kept;
}
