import { type Random, seededRandom, ensure } from "@lapidary/std";
import { type AtomId, type Mesh, atomOf, makeMesh } from "@lapidary/topology";
import {
  type BinaryName,
  type Graph,
  GraphBuilder,
  type Interval,
  type Sharding,
  type Tensor,
  type UnaryName,
  type Value,
  binaryNames,
  binaryOps,
  isFloat,
  parametersOf,
  sizeOf,
  tableOf,
  tensor,
  tensorType,
  unaryNames,
  unaryOps,
} from "@lapidary/ir";
import { gradients } from "../differentiate/index.js";

export { type Rounding, roundingOf, worstRounding } from "./rounding.js";
export { runChips, runHosts } from "./spmd-interpreter.js";

/**
 * Random graphs, meshes and shardings for property tests. Every op of a global graph occurs, which a test checks. Dims are small and
 * often divisible. Values are near 1, so that comparisons in f32 are meaningful. A case is a pure function of the seed.
 */
export interface RandomCase {
  readonly graph: Graph;
  readonly mesh: Mesh;
  /** Wanted sharding of some parameters, and of every constrain, by name. */
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

/** Assigns atoms to random dims that they divide. */
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

/** A graph of `size` random steps with a scalar output `loss` and a few others. With `smooth`, it has no op with a kink. */
export function randomGraph(random: Random, size: number, options: { smooth?: boolean } = {}): Graph {
  const g = new GraphBuilder("random");
  const pick = <T>(from: readonly T[]): T => from[random.integer(from.length)] as T;
  const dims = (): number[] => Array.from({ length: 1 + random.integer(3) }, () => pick(dimChoices));
  for (let i = 0; i < 2 + random.integer(3); i++) g.parameter(`p${i}`, tensorType("f32", dims()));
  const isFree = (v: Value): boolean => v.op !== "constant" && v.scope.region === undefined;
  const floats = (): Value[] => g.values.filter((v) => v.type.dtype === "f32" && sizeOf(v.type.dims) <= 4096 && isFree(v));
  const kinds = Object.values(
    options.smooth === true
      ? { ...smoothSteps, ...formulaSteps(true) }
      : { ...smoothSteps, ...kinkedSteps, ...formulaSteps(true), ...formulaSteps(false) },
  );
  for (let i = 0; i < size; i++) pick(kinds)(new Draw(g, random, pick(floats()), floats()));
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

/** The input of a step of a random graph: a value `x`, all values, and the random numbers of the seed. */
class Draw {
  readonly dims: readonly number[];
  readonly rank: number;

  constructor(
    readonly g: GraphBuilder,
    readonly random: Random,
    readonly x: Value,
    readonly floats: readonly Value[],
  ) {
    this.dims = x.type.dims;
    this.rank = this.dims.length;
  }

  pick = <T>(from: readonly T[]): T => from[this.random.integer(from.length)] as T;
  flip = (): boolean => this.random.integer(2) === 0;
  /** A dim of `x`; 0 for a scalar. */
  dim = (): number => (this.rank === 0 ? 0 : this.random.integer(this.rank));
  /** A value with the dims of `x`, possibly `x` itself. */
  peer = (): Value =>
    this.pick(this.floats.filter((v) => v.type.dims.length === this.rank && v.type.dims.every((size, i) => size === this.dims[i])));
  /** 1 + x²: positive, for ops that need it. */
  positive = (v: Value): Value => this.g.offset(this.g.square(v), 1);
  /** A parameter of row numbers from 0 to 3, of which several may be equal. */
  rowIds = (dims: readonly number[]): Value => this.g.parameter(`ids${this.g.values.length}`, tensorType("i32", dims));
  /** Whether `x` has at least one dim and `rows` rows. */
  hasRows = (rows: number): boolean => this.rank > 0 && (this.dims[0] ?? 0) >= rows;
}

type Step = (draw: Draw) => void;

/** Steps with a derivative everywhere. */
const smoothSteps: Readonly<Record<string, Step>> = {
  add: ({ g, x, peer }) => void g.add(x, peer()),
  multiply: ({ g, x, peer }) => void g.multiply(x, peer()),
  subtract: ({ g, x, peer }) => void g.subtract(g.negate(x), peer()),
  tanh: ({ g, x }) => void g.tanh(x),
  divide: ({ g, x, peer, positive }) => void g.divide(x, positive(peer())),
  waves: ({ g, x, peer }) => void g.multiply(g.cosine(x), g.sine(peer())),
  bell: ({ g, x }) => void g.exponential(g.negate(g.square(x))),
  logarithm: ({ g, x, positive }) => void g.log(positive(x)),
  root: ({ g, x, positive }) => void g.sqrt(positive(x)),
  inverseRoot: ({ g, x, peer, positive }) => void g.multiply(x, g.rsqrt(positive(peer()))),
  noise: ({ g, x, random }) => void g.add(x, g.rngNormal(x.type.dims, random.integer(1000), 0.5)),
  keyedNoise: ({ g, x, rowIds }) => void g.multiply(x, g.rngUniform(x.type.dims, rowIds([]))),
  position: ({ g, x, rank, dim }) => {
    if (rank > 0) g.multiply(x, g.cosine(g.iota(x.type, dim())));
  },
  sum: ({ g, x, rank, dims, dim, random }) => {
    if (rank === 0) return;
    const d = dim();
    const reduced = [[d], dims.map((_, i) => i).filter((i) => i !== d), dims.map((_, i) => i)][random.integer(3)] ?? [d];
    g.scale(g.reduce(x, reduced.length === 0 ? [d] : reduced, "sum"), 0.3);
  },
  broadcastNew: ({ g, x, dims, rank, random, pick }) => {
    const made = pick(dimChoices);
    const where = random.integer(rank + 1);
    if (sizeOf(dims) * made <= 2048)
      g.broadcastInDim(
        x,
        [...dims.slice(0, where), made, ...dims.slice(where)],
        dims.map((_, i) => (i < where ? i : i + 1)),
      );
  },
  broadcastStretch: ({ g, x, rank, dims, dim, pick }) => {
    if (rank === 0) return;
    const d = dim();
    const one = g.slice(
      x,
      dims.map(() => 0),
      dims.map((size, i) => (i === d ? 1 : size)),
    );
    const size = pick(dimChoices);
    if ((sizeOf(dims) / (dims[d] ?? 1)) * size <= 2048)
      g.broadcastInDim(
        one,
        dims.map((old, i) => (i === d ? size : old)),
        dims.map((_, i) => i),
      );
  },
  transpose: ({ g, x, dims, random }) =>
    void g.transpose(
      x,
      shuffled(
        random,
        dims.map((_, i) => i),
      ),
    ),
  reshape: ({ g, x, dims, random }) => void g.reshape(x, regroup(random, dims)),
  swapHalves: ({ g, x, rank, dims, dim }) => {
    const d = dim();
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
  },
  window: ({ g, x, rank, dims, random }) => {
    if (rank === 0) return;
    const start = dims.map((size) => random.integer(size));
    g.slice(
      x,
      start,
      dims.map((size, d) => (start[d] ?? 0) + 1 + random.integer(size - (start[d] ?? 0))),
    );
  },
  movingWindow: ({ g, x, rank, dims, dim, random, rowIds }) => {
    const d = dim();
    if (rank > 0) g.dynamicSlice(x, rowIds([]), d, 1 + random.integer(dims[d] ?? 1));
  },
  overwrite: ({ g, x, rank, dims, dim, random, rowIds }) => {
    if (rank === 0) return;
    const d = dim();
    const update = g.dynamicSlice(x, rowIds([]), d, 1 + random.integer(dims[d] ?? 1));
    g.dynamicUpdateSlice(g.negate(x), update, rowIds([]), d);
  },
  concatenate: ({ g, x, rank, dims, dim, peer }) => {
    if (rank > 0 && sizeOf(dims) <= 512) g.concatenate([x, peer(), g.tanh(x)], dim());
  },
  pad: ({ g, x, rank, dims, dim, random }) => {
    if (rank === 0) return;
    const d = dim();
    const counts = (): number[] => dims.map((_, i) => (i === d ? random.integer(3) : 0));
    g.pad(x, counts(), counts());
  },
  padAround: ({ g, x, rank, dims, dim }) => {
    if (rank === 0) return;
    const d = dim();
    const counts = dims.map((_, i) => (i === d ? 1 : 0));
    g.pad(x, counts, counts);
  },
  matmul: ({ g, x, rank, dims, floats, random, pick }) => {
    const others = floats.filter((v) => v.type.dims.some((size) => dims.includes(size)) && v.type.dims.length + rank <= 5);
    if (others.length === 0 || rank === 0) return;
    const y = pick(others);
    const pairs = matchDims(random, dims, y.type.dims);
    if (pairs.length === 0) return;
    const batch = pairs.length > 1 && random.integer(2) === 0 ? pairs.slice(0, 1) : [];
    g.scale(g.dotGeneral(x, y, batch, pairs.slice(batch.length)), 0.4);
  },
  matmulOfPeers: ({ g, x, rank, dims, peer, random }) => {
    if (rank === 0 || sizeOf(dims) > 256) return;
    const order = shuffled(
      random,
      dims.map((_, i) => i),
    );
    const contracted = 1 + random.integer(rank);
    const batched = random.integer(rank - contracted + 1);
    if (2 * (rank - contracted - batched) + batched > 4) return;
    const pairs = order.map((d): [number, number] => [d, d]);
    g.scale(g.dotGeneral(x, peer(), pairs.slice(contracted, contracted + batched), pairs.slice(0, contracted)), 0.3);
  },
  raggedMatmul: ({ g, x, rank, dims, peer, rowIds, random, flip }) => {
    const last = dims[rank - 1] ?? 0;
    if (rank < 2 || sizeOf(dims) * last > 2048) return;
    const attrs = { shared: dims.slice(0, -2).flatMap((_, d) => (flip() ? [d] : [])), filled: 1 };
    const sizes = rowIds([...dims.slice(0, -2), 1 + random.integer(3)]);
    const matrices = g.scale(g.op("ragged_contract", [x, peer(), sizes], attrs), 0.3);
    g.scale(g.op("ragged_dot", [x, matrices, sizes], { ...attrs, transposed: flip() }), 0.3);
  },
  gather: ({ g, x, rank, pick }) => {
    if (rank > 0) g.gather(x, g.iota(tensorType("i32", [pick([2, 4, 6])]), 0));
  },
  gatherRows: ({ g, x, hasRows, rowIds, pick }) => {
    if (hasRows(4)) g.gather(x, rowIds(pick([[4], [6], [2, 4]])));
  },
  scatter: ({ g, x, rank, dims, pick }) => {
    if (rank > 0) g.scatter(g.iota(tensorType("i32", [dims[0] ?? 1]), 0), x, pick([2, 4, 8]));
  },
  scatterRows: ({ g, x, rank, dims, rowIds, flip, pick }) => {
    if (rank > 0) g.scatter(rowIds(rank > 1 && flip() ? dims.slice(0, 2) : dims.slice(0, 1)), x, pick([2, 4, 8]));
  },
  gatherOfEach: ({ g, x, rank, dims, rowIds, pick }) => {
    if (rank > 1) g.gather(x, rowIds([dims[0] ?? 1, ...pick([[3], [4], [2, 2]])]), 1);
  },
  scatterOfEach: ({ g, x, rank, dims, rowIds, pick }) => {
    if (rank > 1) g.scatter(rowIds(dims.slice(0, 2)), x, pick([2, 4, 8]), 1);
  },
  // A sharding is drawn by name.
  constrain: ({ g, x }) =>
    void g.renamed(
      g.constrain(
        x,
        x.type.dims.map(() => null),
      ),
      `constrain${g.values.length}`,
    ),
  runningSum: ({ g, x, rank, dim, flip }) => {
    if (rank > 0) g.scale(g.op("cumsum", [x], { dimension: dim(), reverse: flip() }), 0.3);
  },
  shift: ({ g, x, rank, dims, dim, random, flip }) => {
    if (rank === 0) return;
    const d = dim();
    const size = dims[d] ?? 1;
    g.shift(x, d, random.integer(2 * size + 1) - size, flip());
  },
  pickSlices: ({ g, x, rank, dims, dim, random }) => {
    if (rank < 2) return;
    const from = dim();
    const by = (from + 1 + random.integer(rank - 1)) % rank;
    g.pick(
      x,
      from,
      by,
      Array.from({ length: dims[by] ?? 1 }, () => random.integer(dims[from] ?? 1)),
    );
  },
  power: ({ g, x, peer, positive }) => void g.op("power", [positive(x), g.tanh(peer())], {}),
  angle: ({ g, x, peer, positive }) => void g.op("atan2", [x, positive(peer())], {}),
  remainder: ({ g, x, rank, dim }) => {
    // Rounding does not carry these numbers over a jump.
    if (rank > 0) g.multiply(x, g.op("remainder", [g.offset(g.iota(x.type, dim()), 0.5), g.splat(3, x.type)], {}));
  },
  bits: ({ g, x, rank, dim, pick }) => {
    if (rank === 0) return;
    const whole = g.iota(tensorType("i32", x.type.dims), dim());
    const op = pick(["bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right_arithmetic"] as const);
    g.add(x, g.scale(g.convert(g.op(op, [whole, g.splat(2, whole.type)], {}), "f32"), 0.02));
  },
  bitcast: ({ g, x, rank, dim }) => {
    if (rank === 0) return;
    const word = g.op("bitcast_convert", [g.iota(x.type, dim())], { dtype: "i32" });
    g.add(x, g.scale(g.op("bitcast_convert", [word], { dtype: "f32" }), 0.25));
  },
  narrow: ({ g, x, rank, dim }) => {
    // Whole numbers are exact in every dtype.
    if (rank > 0) g.add(x, g.scale(g.convert(g.iota(tensorType("i32", x.type.dims), dim()), "f32"), 0.25));
  },
};

/** Steps with kinks or jumps, or without a gradient. */
const kinkedSteps: Readonly<Record<string, Step>> = {
  extreme: ({ g, x, rank, dim, flip }) => {
    if (rank > 0) g.reduce(x, [dim()], flip() ? "max" : "min");
  },
  select: ({ g, x, peer, pick }) => void g.select(g.compare(x, peer(), pick(["LT", "LE", "GT", "GE", "EQ", "NE"])), x, g.scale(x, -0.5)),
  selectBoth: ({ g, x, pick }) => {
    const [low, high] = [g.splat(-0.37, x.type), g.splat(0.41, x.type)];
    g.select(g.and(g.compare(x, low, "GE"), g.compare(x, high, pick(["LT", "NE"]))), x, g.scale(x, 0.25));
  },
  maximum: ({ g, x, peer }) => void g.maximum(x, peer()),
  minimum: ({ g, x, peer }) => void g.minimum(x, peer()),
  absolute: ({ g, x }) => void g.abs(x),
  repeat: ({ g, x, rank, dims, dim, peer, random }) => {
    // Sums over parts of an array, as a step with microbatches has, next to a carried value that each iteration changes.
    if (rank === 0 || sizeOf(dims) > 512) return;
    const [count, d, other] = [1 + random.integer(4), dim(), peer()];
    const sum = g.splat(
      0,
      tensorType(
        "f32",
        dims.filter((_, i) => i !== d),
      ),
    );
    const [added, changed] = g.repeat(count, [sum, x, g.scalar(0, "i32")], ([total, state, index]) => {
      const [before, at] = [ensure(state, "state"), ensure(index, "index")];
      const part = g.dynamicSlice(g.multiply(other, before), at, d, Math.max(1, Math.floor((dims[d] ?? 1) / count)));
      const next = g.scale(g.tanh(g.subtract(before, other)), 0.7);
      return [g.add(ensure(total, "sum"), g.reduce(part, [d], "sum")), next, g.add(at, g.scalar(1, "i32"))];
    });
    g.stopGradient(ensure(added, "sum"));
    g.stopGradient(ensure(changed, "state"));
  },
  repeatMatmul: ({ g, x, rank, dims, peer, random, flip }) => {
    // The gradient of a weight, summed over iterations: its partial sums may be reduced in each iteration or after the region.
    if (rank < 2 || sizeOf(dims) > 256) return;
    const other = peer();
    const free = [...dims.slice(1), ...dims.slice(1)];
    if (sizeOf(free) > 512) return;
    const [sum] = g.repeat(1 + random.integer(3), [g.splat(flip() ? 0 : 0.5, tensorType("f32", free))], ([total]) => [
      g.add(ensure(total, "sum"), g.scale(g.dotGeneral(x, other, [], [[0, 0]]), 0.2)),
    ]);
    g.stopGradient(ensure(sum, "sum"));
  },
  stop: ({ g, x, peer }) => void g.multiply(x, g.stopGradient(peer())),
};

/** Elementwise ops that the steps above use. */
const drawnAbove: ReadonlySet<UnaryName | BinaryName> = new Set<UnaryName | BinaryName>([
  ...(["negate", "exponential", "log", "tanh", "sqrt", "rsqrt", "cosine", "sine", "abs"] as const),
  ...(["add", "subtract", "multiply", "divide", "maximum", "minimum"] as const),
]);

/** A step for each of the other ops with one or two operands, on operands in its domain. */
function formulaSteps(smooth: boolean): Readonly<Record<string, Step>> {
  const isMissing = (name: UnaryName | BinaryName): boolean => !drawnAbove.has(name);
  const within = (g: GraphBuilder, x: Value, [low, high]: Interval): Value =>
    g.offset(g.scale(g.tanh(x), (high - low) / 2), (high + low) / 2);
  return {
    ...tableOf(
      unaryNames.filter((name) => isMissing(name) && unaryOps[name].smooth === smooth),
      (name): Step =>
        ({ g, x }) =>
          void g.op(name, [within(g, x, unaryOps[name].domain)], {}),
    ),
    ...tableOf(
      binaryNames.filter((name) => isMissing(name) && binaryOps[name].smooth === smooth),
      (name): Step =>
        ({ g, x, peer }) =>
          void g.op(name, [within(g, x, binaryOps[name].domain[0]), within(g, peer(), binaryOps[name].domain[1])], {}),
    ),
  };
}

/** Fisher and Yates's shuffle. */
function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [out[i], out[j]] = [ensure(out[j], "element"), ensure(out[i], "element")];
  }
  return out;
}

/** Merges two adjacent dims, or splits one by a divisor. */
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
  for (const { op, name, type } of graph.values) if (op === "constrain") shardings.set(name, randomSharding(random, mesh, type.dims));
  return { graph, mesh, shardings, inputs: randomInputs(random, graph) };
}

/** A graph with the gradients of its `loss` for every parameter of float type, as outputs `grad.<name>`, like a training step. */
export function withGradients(graph: Graph): Graph {
  const g = new GraphBuilder("step");
  for (const value of graph.values) g.push(value.op, value.inputs, value.attrs, value.type, value);
  for (const { name, value } of graph.outputs) g.output(name, g.get(value));
  const loss = g.get(
    ensure(
      graph.outputs.find(({ name }) => name === "loss"),
      "loss",
    ).value,
  );
  const parameters = parametersOf(graph).flatMap(({ id, type }) => (isFloat(type.dtype) ? [g.get(id)] : []));
  gradients(g, loss, parameters).forEach((grad, i) => g.output(`grad.${parameters[i]?.name ?? i}`, grad));
  return g.finish();
}
