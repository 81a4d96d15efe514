import { type Random, seededRandom, must } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, makeMesh } from "@lapidary/topology";
import {
  type Graph,
  GraphBuilder,
  type Sharding,
  type Tensor,
  type Value,
  isFloat,
  parametersOf,
  sizeOf,
  tensor,
  tensorType,
} from "@lapidary/ir";
import { gradients } from "../differentiate/index.js";

/**
 * Random graphs, meshes and shardings for property tests: every op of the language can occur, dims are small and often
 * divisible, values stay near 1 so that comparisons in f32 are meaningful. All is a pure function of the seed.
 */
export interface RandomCase {
  readonly graph: Graph;
  readonly mesh: Mesh;
  /** Wanted sharding of some parameters, by name. */
  readonly shardings: ReadonlyMap<string, Sharding>;
  readonly inputs: ReadonlyMap<string, Tensor>;
}

const dimChoices = [1, 2, 3, 4, 4, 6, 8, 8, 12];

export function randomMesh(random: Random, maxChips = 16): Mesh {
  const names = ["data", "model", "pod", "seq"];
  for (;;) {
    const axes = Array.from({ length: 1 + random.integer(4) }, (_, i) => ({
      name: names[i] ?? `a${i}`,
      size: [1, 2, 2, 3, 4, 4, 6][random.integer(7)] ?? 1,
    }));
    if (axes.reduce((n, axis) => n * axis.size, 1) <= maxChips) return makeMesh(axes);
  }
}

/** Atoms laid over dims at random, wherever they divide. */
export function randomSharding(random: Random, mesh: Mesh, dims: readonly number[]): Sharding {
  const out: AtomId[][] = dims.map(() => []);
  const rest = [...dims];
  for (const atom of mesh.atoms) {
    const d = random.integer(dims.length + 1);
    const size = atomOf(mesh, atom.id).size;
    if (d < dims.length && (rest[d] ?? 1) % size === 0) {
      out[d]?.push(atom.id);
      rest[d] = (rest[d] ?? 1) / size;
    }
  }
  return { dims: out, unreduced: [], reduction: "sum" };
}

export function randomInputs(random: Random, graph: Graph): Map<string, Tensor> {
  return new Map(
    parametersOf(graph).map(({ attrs, type }) => {
      const draw = isFloat(type.dtype) ? (): number => Math.fround((random.next() - 0.5) * 2) : (): number => random.integer(4);
      return [attrs.name, tensor(type.dtype, type.dims, Float64Array.from({ length: sizeOf(type.dims) }, draw))];
    }),
  );
}

/** A graph of `size` random ops with a scalar output `loss` and a few others. Smooth where differentiated (`smooth`). */
export function randomGraph(random: Random, size: number, options: { smooth?: boolean } = {}): Graph {
  const g = new GraphBuilder("random");
  const pick = <T>(from: readonly T[]): T => from[random.integer(from.length)] as T;
  const dims = (): number[] => Array.from({ length: 1 + random.integer(3) }, () => pick(dimChoices));
  for (let i = 0; i < 2 + random.integer(3); i++) g.parameter(`p${i}`, tensorType("f32", dims()));
  const floats = (): Value[] => g.values.filter((v) => v.type.dtype === "f32" && sizeOf(v.type.dims) <= 4096 && v.op !== "constant");
  for (let i = 0; i < size; i++) appendRandomOp(g, random, pick(floats()), floats(), options.smooth ?? false);
  const last = floats().slice(-3);
  const terms = last.map((v) => {
    const bounded = g.tanh(v);
    return v.type.dims.length === 0
      ? bounded
      : g.reduce(
          bounded,
          v.type.dims.map((_, d) => d),
          "sum",
        );
  });
  const loss = terms.reduce((a, b) => g.add(a, b));
  g.output("loss", g.named("loss", loss));
  last.forEach((v, i) => {
    if (v.op !== "parameter") g.output(`out${i}`, v);
  });
  return g.finish();
}

function appendRandomOp(g: GraphBuilder, random: Random, x: Value, floats: readonly Value[], smooth: boolean): void {
  const dims = x.type.dims;
  const rank = dims.length;
  const pick = <T>(from: readonly T[]): T => from[random.integer(from.length)] as T;
  const d = rank === 0 ? 0 : random.integer(rank);
  const sameAs = (): Value => pick(floats.filter((v) => v.type.dims.length === rank && v.type.dims.every((size, i) => size === dims[i])));
  const kinds = smooth ? 15 : 18;
  switch (random.integer(kinds)) {
    case 0:
      g.add(x, sameAs());
      return;
    case 1:
      g.multiply(x, sameAs());
      return;
    case 2:
      g.subtract(g.negate(x), sameAs());
      return;
    case 3:
      g.tanh(x);
      return;
    case 4:
      g.divide(x, g.offset(g.square(sameAs()), 1));
      return;
    case 5:
      g.multiply(g.cosine(x), g.sine(sameAs()));
      return;
    case 6:
      if (rank > 0)
        g.scale(g.reduce(x, random.integer(2) === 0 || rank === 1 ? [d] : dims.map((_, i) => i).filter((i) => i !== d), "sum"), 0.3);
      return;
    case 7: {
      const made = pick(dimChoices);
      const where = random.integer(rank + 1);
      if (sizeOf(dims) * made <= 2048)
        g.broadcastInDim(
          x,
          [...dims.slice(0, where), made, ...dims.slice(where)],
          dims.map((_, i) => (i < where ? i : i + 1)),
        );
      return;
    }
    case 8:
      if (rank > 1)
        g.transpose(
          x,
          rotate(
            dims.map((_, i) => i),
            1 + random.integer(rank - 1),
          ),
        );
      return;
    case 9:
      g.reshape(x, regroup(random, dims));
      return;
    case 10: {
      if (rank === 0 || (dims[d] ?? 1) < 2) return;
      const half = Math.floor((dims[d] ?? 1) / 2);
      const low = g.slice(
        x,
        dims.map(() => 0),
        dims.map((size, i) => (i === d ? half : size)),
      );
      const high = g.slice(
        x,
        dims.map((_, i) => (i === d ? half : 0)),
        dims,
      );
      g.concatenate([g.negate(high), low], d);
      return;
    }
    case 11: {
      const others = floats.filter((v) => v.type.dims.some((size) => dims.includes(size)) && v.type.dims.length + rank <= 5);
      if (others.length === 0 || rank === 0) return;
      const y = pick(others);
      const pairs = matchDims(random, dims, y.type.dims);
      if (pairs.length === 0) return;
      const batch = pairs.length > 1 && random.integer(2) === 0 ? pairs.slice(0, 1) : [];
      g.scale(g.dotGeneral(x, y, batch, pairs.slice(batch.length)), 0.4);
      return;
    }
    case 12: {
      if (rank === 0) return;
      const ids = g.convert(g.iota(tensorType("i32", [pick([2, 4, 6])]), 0), "i32");
      g.gather(x, ids);
      return;
    }
    case 13: {
      if (rank === 0) return;
      const ids = g.iota(tensorType("i32", [dims[0] ?? 1]), 0);
      g.scatter(ids, x, pick([2, 4, 8]));
      return;
    }
    case 14:
      if (rank > 0)
        g.pad(
          x,
          dims.map((_, i) => (i === d ? 1 : 0)),
          dims.map((_, i) => (i === d ? 1 : 0)),
        );
      return;
    case 15:
      if (rank > 0) g.reduce(x, [d], random.integer(2) === 0 ? "max" : "min");
      return;
    case 16:
      g.select(g.compare(x, sameAs(), pick(["LT", "GE"] as const)), x, g.scale(x, -0.5));
      return;
    default:
      g.maximum(x, sameAs());
  }
}

const rotate = <T>(list: readonly T[], by: number): T[] => [...list.slice(by), ...list.slice(0, by)];

/** Merges two neighbouring dims, or splits one by a divisor. */
function regroup(random: Random, dims: readonly number[]): number[] {
  const at = random.integer(Math.max(1, dims.length));
  const size = dims[at] ?? 1;
  if (at + 1 < dims.length && random.integer(2) === 0) return [...dims.slice(0, at), size * (dims[at + 1] ?? 1), ...dims.slice(at + 2)];
  const divisors = Array.from({ length: size }, (_, i) => i + 1).filter((n) => size % n === 0);
  const first = divisors[random.integer(divisors.length)] ?? 1;
  return [...dims.slice(0, at), first, size / first, ...dims.slice(at + 1)].slice(0, dims.length === 0 ? 1 : undefined);
}

/** Pairs of equal dims, each used once. */
function matchDims(random: Random, a: readonly number[], b: readonly number[]): [number, number][] {
  const pairs: [number, number][] = [];
  a.forEach((size, i) => {
    const j = b.findIndex((other, at) => other === size && !pairs.some(([, used]) => used === at));
    if (j >= 0 && random.integer(3) > 0) pairs.push([i, j]);
  });
  return pairs.slice(0, 3);
}

export function randomCase(seed: number, size = 12): RandomCase {
  const random = seededRandom(seed);
  const mesh = randomMesh(random);
  const graph = randomGraph(random, 1 + random.integer(size));
  const shardings = new Map<string, Sharding>();
  for (const { attrs, type } of parametersOf(graph))
    if (random.integer(4) > 0) shardings.set(attrs.name, randomSharding(random, mesh, type.dims));
  return { graph, mesh, shardings, inputs: randomInputs(random, graph) };
}

/** A graph with the gradients of its `loss` for every parameter, as outputs `grad.<name>`: what a training step has. */
export function withGradients(graph: Graph): Graph {
  const g = new GraphBuilder("step");
  for (const value of graph.values) g.push(value.op, value.inputs, value.attrs, value.type, value);
  for (const { name, value } of graph.outputs) g.output(name, g.get(value));
  const loss = g.get(
    must(
      graph.outputs.find(({ name }) => name === "loss"),
      "loss",
    ).value,
  );
  const parameters = parametersOf(graph).map(({ id }) => g.get(id));
  gradients(g, loss, parameters).forEach((grad, i) => g.output(`grad.${parameters[i]?.name ?? i}`, grad));
  return g.finish();
}
