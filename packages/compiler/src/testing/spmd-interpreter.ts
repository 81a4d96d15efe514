import { assert, ensure, normalAt } from "@lapidary/std";
import {
  type AtomId,
  type Mesh,
  type WorkerGrid,
  atomCoordinate,
  meshSize,
  parseAtoms,
  replicaGroup,
  shardIndex,
  workerCoordinate,
  workerGroup,
} from "@lapidary/topology";
import {
  type Graph,
  type OpName,
  type ReductionKind,
  type Sharding,
  type Tensor,
  type Value,
  forEachRun,
  globalDims,
  opDef,
  putIndices,
  shiftPieces,
  takeIndices,
  tensor,
} from "@lapidary/ir";
import { blockPositions } from "../lower/index.js";
import type { DimLayout, HostProgram } from "../program.js";

/**
 * Runs programs member by member in double precision, without a kernel library, for the compiler's tests. Members of a per-chip
 * program are chips, members of a host program are workers.
 */
interface Members {
  readonly count: number;
  readonly mesh: Mesh;
  /** Global positions of a member's part along a dim. */
  readonly positions: (member: number, size: number, atoms: readonly AtomId[]) => Int32Array;
  readonly collective: (value: Value, inputs: readonly Tensor[]) => Tensor[];
}

export function runChips(chip: Graph, inputs: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const mesh = ensure(chip.mesh, "mesh");
  const everyAtom: WorkerGrid = { workers: meshSize(mesh), atoms: mesh.atoms.map((atom) => atom.id) };
  return run(chip, inputs, {
    count: meshSize(mesh),
    mesh,
    positions: (member, size, atoms) => blockPositions(mesh, everyAtom, size, atoms, (id) => atomCoordinate(mesh, member, id)),
    collective: (value, shards) => shards.map((_, member) => chipCollective(mesh, value, shards, member)),
  });
}

export function runHosts(program: HostProgram, inputs: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const { mesh, grid } = program;
  return run(program.graph, inputs, {
    count: grid.workers,
    mesh,
    positions: (member, size, atoms) => blockPositions(mesh, grid, size, atoms, (id) => workerCoordinate(mesh, grid, member, id)),
    collective: (value, shards) => shards.map((_, member) => hostCollective(program, value, shards, member)),
  });
}

function run(graph: Graph, inputs: ReadonlyMap<string, Tensor>, members: Members): Map<string, Tensor> {
  const results: Tensor[][] = [];
  const globalTypes = new Map<number, readonly number[]>();
  const chipsPerMember = meshSize(members.mesh) / members.count;
  forEachRun(graph, (value, again) => {
    if (again !== undefined) {
      results[value.id] = ensure(results[again], "result of the iteration before");
      return;
    }
    const keep = (shards: Tensor[]): void => void (results[value.id] = shards);
    const sharding = ensure(value.sharding, "sharding");
    const positionsOf = (member: number, dims: readonly number[]): number[][] =>
      dims.map((size, d) => [...members.positions(member, size, sharding.dims[d] ?? [])]);
    const whole = wholeDims(members, value, sharding, chipsPerMember);
    globalTypes.set(value.id, whole);
    const all = Array.from({ length: members.count }, (_, member) => member);
    const operands = (member: number): Tensor[] => value.inputs.map((id) => ensure(results[id]?.[member], "operand"));
    switch (value.op) {
      case "parameter":
        keep(all.map((member) => takeIndices(ensure(inputs.get(value.attrs.name), value.attrs.name), positionsOf(member, whole))));
        break;
      case "gather": {
        const table = ensure(graph.values[ensure(value.inputs[0], "table")], "table");
        const { batch = 0 } = value.attrs;
        const rows = ensure(globalTypes.get(table.id), "dims")[batch] ?? 0;
        const atoms = ensure(table.sharding, "sharding").dims[batch] ?? [];
        keep(all.map((member) => evaluateRows(value, operands(member), 1, members.positions(member, rows, atoms))));
        break;
      }
      case "scatter": {
        const { batch = 0 } = value.attrs;
        const positions = (member: number): Int32Array => members.positions(member, whole[batch] ?? 0, sharding.dims[batch] ?? []);
        keep(all.map((member) => evaluateRows(value, operands(member), 0, positions(member))));
        break;
      }
      case "pick": {
        const { by, table } = value.attrs;
        const operand = ensure(graph.values[ensure(value.inputs[0], "operand")], "operand");
        const atoms = ensure(operand.sharding, "sharding").dims[by] ?? [];
        const own = (member: number): number[] => [...members.positions(member, table.length, atoms)].map((at) => table[at] ?? 0);
        const { evaluate } = opDef<"pick">("pick");
        keep(all.map((member) => ensure(evaluate, "meaning")(operands(member), { ...value.attrs, table: own(member) }, value.type)));
        break;
      }
      case "all_gather":
      case "reduce_scatter":
      case "all_reduce":
      case "all_to_all":
      case "collective_permute":
      case "shard_slice":
        keep(
          members.collective(
            value,
            all.map((member) => ensure(operands(member)[0], "operand")),
          ),
        );
        break;
      default: {
        const { evaluate, placed } = opDef<OpName>(value.op);
        const meaning = ensure(evaluate, "meaning");
        if (placed) {
          // Operands, such as the key of random numbers, are whole on every member.
          const full = meaning(operands(0), value.attrs, { ...value.type, dims: whole });
          if (value.op === "rng_normal")
            assert(full.data[0] === Math.fround(normalAt(value.attrs.key, 0) * value.attrs.scale), "counter-based numbers");
          keep(all.map((member) => takeIndices(full, positionsOf(member, whole))));
        } else keep(all.map((member) => meaning(operands(member), value.attrs, value.type)));
      }
    }
    for (const shard of results[value.id] ?? [])
      assert(
        shard.dims.every((size, d) => size === value.type.dims[d]),
        "a shard has the local type",
        value.name,
        value.op,
        shard.dims,
        value.type.dims,
      );
  });
  return new Map(
    graph.outputs.map(({ name, value: id }) => {
      const value = ensure(graph.values[id], "output");
      const dims = ensure(globalTypes.get(id), "dims");
      const full = tensor(value.type.dtype, dims, new Float64Array(dims.reduce((a, b) => a * b, 1)).fill(Number.NaN));
      for (let member = 0; member < members.count; member++)
        putIndices(
          full,
          dims.map((size, d) => [...members.positions(member, size, ensure(value.sharding, "sharding").dims[d] ?? [])]),
          ensure(results[id]?.[member], "shard"),
        );
      return [name, full];
    }),
  );
}

/** Dims of the whole array, from those of a member. */
function wholeDims(members: Members, value: Value, sharding: Sharding, chipsPerMember: number): number[] {
  if (chipsPerMember === 1) return globalDims(members.mesh, value.type.dims, sharding);
  return value.type.dims.map((size, d) => {
    const atoms = sharding.dims[d] ?? [];
    // The positions of a member decide the size of its part: try whole sizes until a member has `size` positions.
    for (let parts = 1; parts <= members.count; parts++) {
      const whole = size * parts;
      if (isDivisible(members.mesh, whole, atoms) && members.positions(0, whole, atoms).length === size) return whole;
    }
    throw new Error("no whole size");
  });
}

function isDivisible(mesh: Mesh, size: number, atoms: readonly AtomId[]): boolean {
  return size % atoms.reduce((n, id) => n * ensure(mesh.atoms[id], "atom").size, 1) === 0;
}

/** gather and scatter with global ids on the rows of a member. Rows of other members are treated as missing. */
function evaluateRows(value: Value, operands: readonly Tensor[], idsAt: 0 | 1, rows: Int32Array): Tensor {
  const index = new Map([...rows].map((row, i) => [row, i]));
  const ids = ensure(operands[value.op === "gather" ? 1 : 0], "ids");
  const local = tensor(
    "i32",
    ids.dims,
    ids.data.map((id) => index.get(id) ?? -1),
  );
  return ensure(opDef<OpName>(value.op).evaluate, "meaning")(
    idsAt === 1 ? [ensure(operands[0], "table"), local] : [local, ensure(operands[1], "updates")],
    value.attrs,
    value.type,
  );
}

const combine = (kind: ReductionKind, a: number, b: number): number =>
  kind === "sum" ? a + b : kind === "max" ? Math.max(a, b) : Math.min(a, b);

function reduceAll(shards: readonly Tensor[], kind: ReductionKind): Tensor {
  const [first, ...rest] = shards as [Tensor, ...Tensor[]];
  return { ...first, data: rest.reduce((sum, shard) => sum.map((v, i) => combine(kind, v, shard.data[i] ?? 0)), first.data) };
}

function part(x: Tensor, dimension: number, index: number, parts: number): Tensor {
  const size = (x.dims[dimension] ?? 0) / parts;
  return takeIndices(
    x,
    x.dims.map((n, d) =>
      d === dimension ? Array.from({ length: size }, (_, i) => index * size + i) : Array.from({ length: n }, (_, i) => i),
    ),
  );
}

function concat(parts: readonly Tensor[], dimension: number): Tensor {
  return ensure(opDef<"concatenate">("concatenate").evaluate, "meaning")(
    parts,
    { dimension },
    {
      dtype: ensure(parts[0], "part").dtype,
      dims: ensure(parts[0], "part").dims.map((n, d) => (d === dimension ? parts.reduce((sum, { dims }) => sum + (dims[d] ?? 0), 0) : n)),
    },
  );
}

/** Collectives on chips, by their definition. */
function chipCollective(mesh: Mesh, value: Value, shards: readonly Tensor[], member: number): Tensor {
  assert("axes" in value.attrs, "a collective");
  const atoms = parseAtoms(mesh, value.attrs.axes);
  const group = replicaGroup(mesh, member, atoms).map((chip) => ensure(shards[chip], "shard"));
  const own = ensure(shards[member], "shard");
  const [index, size] = [shardIndex(mesh, member, atoms), value.attrs.size];
  switch (value.op) {
    case "all_gather":
      return concat(group, value.attrs.dimension);
    case "all_reduce":
      return reduceAll(group, value.attrs.kind);
    case "reduce_scatter":
      return part(reduceAll(group, value.attrs.kind), value.attrs.dimension, index, size);
    case "shard_slice":
      return part(own, value.attrs.dimension, index, size);
    case "all_to_all": {
      const { splitDimension, concatDimension } = value.attrs;
      return concat(
        group.map((shard) => part(shard, splitDimension, index, size)),
        concatDimension,
      );
    }
    case "collective_permute": {
      const { dimension } = value.attrs;
      const rows = own.dims[dimension] ?? 0;
      const taken = shiftPieces(size, rows, index, value.attrs).map(({ part: from, start, limit }) => {
        const rowsOf = (shard: Tensor): Tensor =>
          takeIndices(
            shard,
            shard.dims.map((n, d) =>
              Array.from({ length: d === dimension ? limit - start : n }, (_, i) => (d === dimension ? start : 0) + i),
            ),
          );
        const piece = rowsOf(ensure(group[from ?? index], "shard"));
        return from === undefined ? { ...piece, data: piece.data.map(() => 0) } : piece;
      });
      return concat(taken, dimension);
    }
    default:
      throw new Error(`not a collective: ${value.op}`);
  }
}

/** Positions along a dim with a layout that belong to the member with the given coordinates. */
function layoutPositions(layout: DimLayout, coordinates: readonly number[]): number[] {
  let next = 0;
  return layout.factors.reduce<number[]>(
    (at, { size, worker }) => {
      const indices = worker ? [coordinates[next++] ?? 0] : Array.from({ length: size }, (_, i) => i);
      return at.flatMap((a) => indices.map((i) => a * size + i));
    },
    [0],
  );
}

/** Collectives between workers, by `HostCollective`. */
function hostCollective(program: HostProgram, value: Value, shards: readonly Tensor[], member: number): Tensor {
  const { mesh, grid } = program;
  const { atoms, gather, split } = ensure(program.collectives.get(value.id), "collective");
  const group = workerGroup(mesh, grid, member, atoms);
  const coordinates = (worker: number): number[] => atoms.map((id) => workerCoordinate(mesh, grid, worker, id));
  const all = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
  const mine = (x: Tensor): Tensor =>
    split === undefined
      ? x
      : takeIndices(
          x,
          x.dims.map((n, d) => (d === split.dimension ? layoutPositions(split, coordinates(member)) : all(n))),
        );
  const kind = value.op === "all_reduce" || value.op === "reduce_scatter" ? value.attrs.kind : "sum";
  const parts = group.map((worker) => ensure(shards[worker], "shard"));
  if (value.op === "all_reduce" || value.op === "reduce_scatter") return mine(reduceAll(parts, kind));
  if (gather === undefined) return mine(ensure(shards[member], "shard"));
  const full = tensor(value.type.dtype, value.type.dims, new Float64Array(value.type.dims.reduce((a, b) => a * b, 1)).fill(Number.NaN));
  group.forEach((worker, i) =>
    putIndices(
      full,
      full.dims.map((n, d) => (d === gather.dimension ? layoutPositions(gather, coordinates(worker)) : all(n))),
      mine(ensure(parts[i], "part")),
    ),
  );
  return full;
}
