import { sizeOf, tensorType, type Value } from "@lapidary/ir";
import { integer } from "./attribute-values.js";
import { applyBody } from "./body.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";

/** Elements of the sorted dim that are compared each with each. */
const maxRanked = 64;
/** The longest sorted dim. */
const maxSorted = 1 << 17;

/** The results of a comparator for two lists of arrays of equal dims: whether the elements of the first list come before those of the second. */
type IsBefore = (c: OpContext, first: readonly Value[], second: readonly Value[]) => Value;

/** The operands along one dim in the order of the text's comparator. Elements that are equal in it keep their order. */
const sort: Converter = (c) => {
  const d = integer(c.op, "dimension") ?? 0;
  const operands = c.args.map((_, i) => c.value(i));
  const isBefore: IsBefore = (own, first, second) => {
    const interleaved = first.flatMap((x, i) => [x, second[i] ?? x]);
    const [test] = applyBody(own, own.op.regions[0], interleaved);
    if (test?.type.dtype !== "pred") throw new Unconvertible("its comparator does not return a truth value");
    return test;
  };
  return c.results(...sortAlong(c, operands, d, isBefore));
};

function sortAlong(c: OpContext, operands: readonly Value[], d: number, isBefore: IsBefore): Value[] {
  const dims = operands[0]?.type.dims ?? [];
  const n = dims[d] ?? 1;
  if (n > maxSorted) throw new Unconvertible(`a sort of ${n} elements is not supported (at most ${maxSorted})`);
  if (n < 2) return [...operands];
  // The sorted dim is the last one during the conversion. Its own inverse: a swap of two dims.
  const swap = dims.map((_, i) => (i === d ? dims.length - 1 : i === dims.length - 1 ? d : i));
  const moved = operands.map((x) => c.b.transpose(x, swap));
  const sorted = n <= maxRanked ? sortByRank(c, moved, isBefore) : sortByNetwork(c, moved, isBefore);
  return sorted.map((x) => c.b.transpose(x, swap));
}

const not = (c: OpContext, p: Value): Value => c.b.select(p, c.b.splat(0, p.type), c.b.splat(1, p.type));
const or = (c: OpContext, p: Value, q: Value): Value => c.b.select(p, c.b.splat(1, p.type), q);

/**
 * The rank of an element is the number of elements before it, and the result has each element at its rank:
 *
 *     rank[i] = Σ_j (x[j] before x[i]  or  neither before the other and j < i)          y[r] = Σ_i (rank[i] = r ? x[i] : 0)
 */
function sortByRank(c: OpContext, operands: readonly Value[], isBefore: IsBefore): Value[] {
  const { b } = c;
  const dims = operands[0]?.type.dims ?? [];
  const last = dims.length - 1;
  const pairs = [...dims, dims[last] ?? 1];
  const outer = dims.slice(0, last).map((_, i) => i);
  const own = operands.map((x) => b.broadcastInDim(x, pairs, [...outer, last]));
  const other = operands.map((x) => b.broadcastInDim(x, pairs, [...outer, last + 1]));
  const type = tensorType("i32", pairs);
  const isEarlier = b.compare(b.iota(type, last + 1), b.iota(type, last), "LT");
  const tie = b.and(isEarlier, not(c, isBefore(c, own, other)));
  const precedes = or(c, isBefore(c, other, own), tie);
  const rank = b.reduce(b.select(precedes, b.splat(1, type), b.splat(0, type)), [last + 1], "sum");
  return operands.map((x) => placed(c, x, rank));
}

/** The elements of the last dim at their ranks. */
function placed(c: OpContext, x: Value, rank: Value): Value {
  const { b } = c;
  if (x.type.dtype === "pred") return b.compare(placed(c, b.convert(x, "i32"), rank), b.splat(0, rank.type), "NE");
  const last = x.type.dims.length - 1;
  const pairs = [...x.type.dims, x.type.dims[last] ?? 1];
  const at = [...x.type.dims.slice(0, last).map((_, i) => i), last + 1];
  const isHere = b.compare(b.broadcastInDim(rank, pairs, at), b.iota(tensorType("i32", pairs), last), "EQ");
  const type = tensorType(x.type.dtype, pairs);
  return b.reduce(b.select(isHere, b.broadcastInDim(x, pairs, at), b.splat(0, type)), [last + 1], "sum");
}

/**
 * Batcher's bitonic network: log²(n) stages, each of which compares pairs of elements at one distance. The positions of the elements decide between
 * equal ones. Elements that fill the dim up to a power of two have the highest positions, and come last.
 */
function sortByNetwork(c: OpContext, operands: readonly Value[], isBefore: IsBefore): Value[] {
  const { b } = c;
  const dims = operands[0]?.type.dims ?? [];
  const outer = dims.slice(0, -1);
  const n = dims.at(-1) ?? 1;
  const size = 2 ** Math.ceil(Math.log2(n));
  const none = dims.map(() => 0);
  const filled = operands.map((x) => (size === n ? x : padLast(c, x, [...outer, size], none)));
  let columns: Value[] = [...filled, b.iota(tensorType("i32", [...outer, size]), outer.length)];
  for (let run = 2; run <= size; run *= 2)
    for (let distance = run / 2; distance >= 1; distance /= 2) columns = exchange(c, columns, { run, distance, n, size }, isBefore);
  const limits = [...outer, n];
  return columns.slice(0, -1).map((x) => (size === n ? x : b.slice(x, none, limits)));
}

/** Any value fills the dim, because its position says that it is not an element. */
function padLast(c: OpContext, x: Value, dims: readonly number[], none: readonly number[]): Value {
  if (x.type.dtype === "pred")
    return c.b.compare(padLast(c, c.b.convert(x, "i32"), dims, none), c.b.splat(0, tensorType("i32", dims)), "NE");
  return c.b.pad(
    x,
    none,
    none.map((_, i) => (dims[i] ?? 0) - (x.type.dims[i] ?? 0)),
  );
}

interface Stage {
  readonly run: number;
  readonly distance: number;
  /** Elements that are sorted, and elements with those that fill the dim. */
  readonly n: number;
  readonly size: number;
}

/** Orders the pairs at one distance, ascending in runs of even number and descending in the others. */
function exchange(c: OpContext, columns: readonly Value[], { run, distance, n, size }: Stage, isBefore: IsBefore): Value[] {
  const { b } = c;
  const outer = columns[0]?.type.dims.slice(0, -1) ?? [];
  const groups = size / (2 * distance);
  const whole = [...outer, groups, 2, distance];
  const half = [...outer, groups, 1, distance];
  const at = outer.length + 1;
  const part = (x: Value, i: number): Value =>
    b.slice(
      x,
      whole.map((_, d) => (d === at ? i : 0)),
      whole.map((dim, d) => (d === at ? i + 1 : dim)),
    );
  const split = columns.map((x) => b.reshape(x, whole));
  const [first, second] = [0, 1].map((i) => split.map((x) => part(x, i)));
  const [p, q] = [first?.at(-1), second?.at(-1)];
  if (first === undefined || second === undefined || p === undefined || q === undefined) throw new Unconvertible("it sorts nothing");
  const earlier = b.compare(p, q, "LT");
  const stays = isBefore(c, first.slice(0, -1), second.slice(0, -1));
  const moves = isBefore(c, second.slice(0, -1), first.slice(0, -1));
  const ordered = or(c, stays, b.and(earlier, not(c, moves)));
  const isElement = (x: Value): Value => b.compare(x, b.splat(n, x.type), "LT");
  const inOrder =
    size === n
      ? ordered
      : b.select(isElement(p), b.select(isElement(q), ordered, b.splat(1, earlier.type)), b.and(earlier, not(c, isElement(q))));
  const keeps =
    2 * distance * groups === run ? inOrder : b.select(descending(c, half, outer.length, run / (2 * distance)), not(c, inOrder), inOrder);
  return columns.map((x, i) => {
    const [u, v] = [first[i] ?? x, second[i] ?? x];
    return b.reshape(b.concatenate([b.select(keeps, u, v), b.select(keeps, v, u)], at), [...outer, size]);
  });
}

/** Whether the run of a group is descending: `perRun` groups are one run, and every second run descends. */
function descending({ b }: OpContext, dims: readonly number[], dimension: number, perRun: number): Value {
  const type = tensorType("i32", dims);
  const run = b.op("shift_right_arithmetic", [b.iota(type, dimension), b.splat(Math.log2(perRun), type)], {});
  return b.compare(b.op("bitwise_and", [run, b.splat(1, type)], {}), b.splat(0, type), "NE");
}

/** At most so many elements are taken one after the other. */
const maxTaken = 64;

/** The largest k elements of the last dim. Among equal elements the lowest index comes first. */
const topK: Converter = (c) => {
  const x = c.value(0);
  const k = integer(c.op, "k") ?? c.result().dims.at(-1) ?? 0;
  const last = x.type.dims.length - 1;
  const index = c.b.iota(tensorType("i32", x.type.dims), last);
  if (k <= maxTaken) return takeLargest(c, x, index, k);
  if (sizeOf(x.type.dims) === 0) throw new Unconvertible("its operand is empty");
  const sorted = sortAlong(c, [x, index], last, (own, [a], [b]) => own.b.compare(a ?? x, b ?? x, "GT"));
  const limits = x.type.dims.map((n, d) => (d === last ? k : n));
  return c.results(
    ...sorted.map((y) =>
      c.b.slice(
        y,
        limits.map(() => 0),
        limits,
      ),
    ),
  );
};

/** The largest k elements and their indices, by k maxima. */
function takeLargest(c: OpContext, x: Value, index: Value, k: number): ReturnType<Converter> {
  const last = x.type.dims.length - 1;
  const batch = x.type.dims.slice(0, last);
  const kept = batch.map((_, d) => d);
  const lowest = c.b.splat(x.type.dtype === "i32" ? -2147483648 : -Infinity, x.type);
  let taken: Value | undefined;
  const [values, indices]: [Value[], Value[]] = [[], []];
  for (let i = 0; i < k; i++) {
    const open: Value = taken === undefined ? x : c.b.select(taken, lowest, x);
    const best = c.b.reduce(open, [last], "max");
    const equal = c.b.compare(open, c.b.broadcastInDim(best, x.type.dims, kept), "EQ");
    const hit = taken === undefined ? equal : c.b.select(taken, c.b.splat(0, equal.type), equal);
    const at = c.b.reduce(c.b.select(hit, index, c.b.splat(2147483647, index.type)), [last], "min");
    values.push(c.b.reshape(best, [...batch, 1]));
    indices.push(c.b.reshape(at, [...batch, 1]));
    const now = c.b.compare(index, c.b.broadcastInDim(at, x.type.dims, kept), "EQ");
    taken = taken === undefined ? now : c.b.select(taken, c.b.splat(1, now.type), now);
  }
  const joined = (parts: Value[]): Value => (parts.length === 1 && parts[0] !== undefined ? parts[0] : c.b.concatenate(parts, last));
  return c.results(joined(values), joined(indices));
}

export const sortConverters: Readonly<Record<string, Converter>> = { sort, top_k: topK };
