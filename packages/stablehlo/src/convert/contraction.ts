import { type Dtype, type Value } from "@lapidary/ir";
import type { Operation, Region } from "../text/syntax.js";
import { bodyOf, dimensionLists, integers } from "./attribute-values.js";
import { applyBody } from "./body.js";
import { dtypeOf, isUnsigned, type Item, uniform, uniformOf } from "./item.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import { flipTop } from "./unsigned.js";

const dotGeneral: Converter = (c) => {
  const numbers = dimensionLists(bodyOf(c.op.attributes.get("dot_dimension_numbers")));
  const pair = (left: string, right: string): [number, number][] => {
    const [l, r] = [numbers.list(left), numbers.list(right)];
    if (l.length !== r.length) throw new Unconvertible("its dimension numbers do not pair");
    return l.map((d, i) => [d, r[i] ?? 0]);
  };
  const batch = pair("lhs_batching_dimensions", "rhs_batching_dimensions");
  const contracting = pair("lhs_contracting_dimensions", "rhs_contracting_dimensions");
  return c.results(product(c, c.value(0), c.value(1), batch, contracting, dtypeOf(c.result().element) ?? "f32"));
};

/** A matmul with operands of any float types. A result wider than an operand is computed from widened operands: they are exact. */
export function product(
  c: OpContext,
  a: Value,
  b: Value,
  batch: readonly (readonly [number, number])[],
  contracting: readonly (readonly [number, number])[],
  result: Dtype,
): Value {
  if (a.type.dtype === "i32" && b.type.dtype === "i32" && result === "i32") return productOfIntegers(c, a, b, batch, contracting);
  const wide: Dtype = [a.type.dtype, b.type.dtype, result].includes("f32") ? "f32" : "bf16";
  if (![a, b].every(({ type }) => type.dtype === "f32" || type.dtype === "bf16"))
    throw new Unconvertible("a product of integers is not supported");
  return c.b.convert(c.b.dotGeneral(c.b.convert(a, wide), c.b.convert(b, wide), batch, contracting), result);
}

/** The most products of integers of one matmul. */
const maxIntegerProducts = 2 ** 26;

/** A matmul of integers, exact as in XLA: a sum of elementwise products of [batch…, left…, right…, contracted…]. */
function productOfIntegers(
  c: OpContext,
  a: Value,
  b: Value,
  batch: readonly (readonly [number, number])[],
  contracting: readonly (readonly [number, number])[],
): Value {
  const free = (x: Value, side: 0 | 1): number[] =>
    x.type.dims.map((_, d) => d).filter((d) => ![...batch, ...contracting].some((pair) => pair[side] === d));
  const [left, right] = [free(a, 0), free(b, 1)];
  const sizes = (x: Value, dims: readonly number[]): number[] => dims.map((d) => x.type.dims[d] ?? 1);
  const shared = sizes(
    a,
    batch.map(([d]) => d),
  );
  const all = [
    ...shared,
    ...sizes(a, left),
    ...sizes(b, right),
    ...sizes(
      a,
      contracting.map(([d]) => d),
    ),
  ];
  const products = all.reduce((n, d) => n * d, 1);
  if (products > maxIntegerProducts) throw new Unconvertible(`a product of integers with ${products} multiplications is not supported`);
  const rank = all.length;
  const place = (x: Value, side: 0 | 1, own: readonly number[], from: number): Value => {
    const order = [...batch.map((pair) => pair[side]), ...own, ...contracting.map((pair) => pair[side])];
    const at = order.map((_, i) => {
      if (i < batch.length) return i;
      return i < batch.length + own.length ? from + i - batch.length : rank - (order.length - i);
    });
    return c.b.broadcastInDim(c.b.transpose(x, order), all, at);
  };
  const factors = [place(a, 0, left, batch.length), place(b, 1, right, batch.length + left.length)] as const;
  return c.b.reduce(
    c.b.multiply(factors[0], factors[1]),
    contracting.map((_, i) => rank - contracting.length + i),
    "sum",
  );
}

export type Combiner = "add" | "minimum" | "maximum" | "and" | "or" | "multiply";
const combiners: readonly string[] = ["add", "minimum", "maximum", "and", "or", "multiply"];

/** The op that a region of two scalars computes: its only op but for the return, on the two arguments in any order. */
export function combinerOf(region: Region | undefined): Combiner | "second" | undefined {
  const block = region?.blocks[0];
  if (block === undefined || region?.blocks.length !== 1) return undefined;
  const names = block.arguments.map(({ name }) => name);
  const [first, second] = block.operations;
  if (names.length !== 2) return undefined;
  if (block.operations.length === 1 && first?.name.endsWith(".return") === true)
    return first.operands[0]?.name === names[1] ? "second" : undefined;
  if (block.operations.length !== 2 || first === undefined || second === undefined || !second.name.endsWith(".return")) return undefined;
  const used = first.operands
    .map(({ name }) => name)
    .sort()
    .join();
  const op = first.name.replace(/^stablehlo\./, "");
  if (used !== [...names].sort().join() || second.operands[0]?.name !== first.results[0]?.name) return undefined;
  return combiners.includes(op) ? (op as Combiner) : undefined;
}

const reduce: Converter = (c) => {
  const dims = integers(c.op, "dimensions") ?? [];
  if (c.args.length === 4 && dims.length === 1 && comparatorOf(c.op.regions[0]) !== undefined) return argExtreme(c, dims);
  const combiner = combinerOf(c.op.regions[0]);
  if (c.args.length !== 2 || combiner === undefined || combiner === "second") return reduceByBody(c, dims);
  const x = c.arg(0);
  const [value, init] = [uniformOf(x), uniformOf(c.arg(1))];
  const folded =
    value === undefined || init === undefined
      ? undefined
      : reduceUniform(
          combiner,
          value,
          init,
          dims.reduce((n, d) => n * (x.dims[d] ?? 1), 1),
        );
  if (folded !== undefined) return c.results(uniform(c.result(), folded));
  if (isUnsigned(x.element) && (combiner === "maximum" || combiner === "minimum")) return c.results(reduceUnsigned(c, dims, combiner));
  const reduced = dims.length === 0 ? c.value(0) : reduceBy(c, c.value(0), dims, combiner);
  return c.results(withInit(c, reduced, c.arg(1), combiner));
};

/** The maximum or minimum of unsigned integers: of signed ones with flipped top bits. */
function reduceUnsigned(c: OpContext, dims: readonly number[], combiner: "maximum" | "minimum"): Value {
  const reduced = reduceBy(c, flipTop(c.b, c.value(0)), dims, combiner);
  const start = c.b.broadcastInDim(flipTop(c.b, c.value(1)), reduced.type.dims, []);
  return flipTop(c.b, c.b[combiner](reduced, start));
}

function reduceUniform(combiner: Combiner, value: number, init: number, count: number): number | undefined {
  if (combiner === "add") return value === 0 ? init : undefined;
  if (combiner === "multiply") return value === 1 ? init : undefined;
  const max = combiner === "maximum" || combiner === "or";
  return count === 0 ? init : max ? Math.max(value, init) : Math.min(value, init);
}

/** A reduction by the region of the text, for one array or several: halves of each dim are combined, then the initial values. */
function reduceByBody(c: OpContext, dims: readonly number[]): Item[] {
  const count = c.args.length / 2;
  if (!Number.isInteger(count) || count < 1) throw new Unconvertible("it does not have one initial value for each array");
  const region = c.op.regions[0];
  let arrays: Value[] = Array.from({ length: count }, (_, i) => c.value(i));
  for (const d of dims) {
    for (let size = arrays[0]?.type.dims[d] ?? 1; size > 1; size = arrays[0]?.type.dims[d] ?? 1) {
      const half = Math.floor(size / 2);
      const part = (x: Value, from: number, to: number): Value =>
        c.b.slice(
          x,
          x.type.dims.map((_, i) => (i === d ? from : 0)),
          x.type.dims.map((n, i) => (i === d ? to : n)),
        );
      const whole = arrays;
      const halves = [whole.map((x) => part(x, 0, half)), whole.map((x) => part(x, half, 2 * half))] as const;
      const joined = applyBody(c, region, [...halves[0], ...halves[1]]);
      arrays = joined.map((x, i) => {
        const own = whole[i] ?? x;
        return size % 2 === 0 ? x : c.b.concatenate([x, part(own, size - 1, size)], d);
      });
    }
  }
  const kept = arrays.map((x) =>
    c.b.reshape(
      x,
      x.type.dims.filter((_, d) => !dims.includes(d)),
    ),
  );
  const initial = kept.map((x, i) => c.b.broadcastInDim(c.value(count + i), x.type.dims, []));
  return c.results(...applyBody(c, region, [...initial, ...kept]));
}

const isMax = (combiner: Combiner): boolean => combiner === "maximum" || combiner === "or";

/** A reduction without initial value. Truth values are reduced as numbers. */
export function reduceBy(c: OpContext, x: Value, dims: readonly number[], combiner: Combiner): Value {
  if (combiner === "multiply") return multiplyAll(c, x, dims);
  const kind = combiner === "add" ? "sum" : isMax(combiner) ? "max" : "min";
  if (x.type.dtype === "pred") {
    const counted = c.b.reduce(c.b.convert(x, "i32"), dims, kind === "sum" ? "max" : kind);
    return c.b.compare(counted, c.b.splat(0, counted.type), "NE");
  }
  return c.b.reduce(x, dims, kind);
}

/** A product along dims, by halves. */
function multiplyAll(c: OpContext, x: Value, dims: readonly number[]): Value {
  let y = x;
  for (const d of dims) {
    for (let size = y.type.dims[d] ?? 1; size > 1; size = y.type.dims[d] ?? 1) {
      const half = Math.floor(size / 2);
      const whole = y;
      const part = (from: number, to: number): Value =>
        c.b.slice(
          whole,
          whole.type.dims.map((_, i) => (i === d ? from : 0)),
          whole.type.dims.map((n, i) => (i === d ? to : n)),
        );
      const joined = c.b.multiply(part(0, half), part(half, 2 * half));
      y = size % 2 === 0 ? joined : c.b.concatenate([joined, part(size - 1, size)], d);
    }
  }
  return c.b.reshape(
    y,
    y.type.dims.filter((_, d) => !dims.includes(d)),
  );
}

/** Combines a reduction with its initial value, unless the value changes nothing. */
function withInit(c: OpContext, x: Value, init: Item, combiner: Combiner): Value {
  const value = uniformOf(init);
  const neutral: Readonly<Record<Combiner, (v: number) => boolean>> = {
    add: (v) => v === 0,
    multiply: (v) => v === 1,
    maximum: (v) => v === -Infinity || v === -2147483648,
    minimum: (v) => v === Infinity || v === 2147483647,
    and: (v) => v !== 0,
    or: (v) => v === 0,
  };
  if (value !== undefined && neutral[combiner](value)) return x;
  const start = c.b.broadcastInDim(c.low.value(init), x.type.dims, []);
  if (x.type.dtype === "pred") return combiner === "and" ? c.b.and(x, start) : c.b.select(x, c.b.splat(1, x.type), start);
  return c.b[combiner === "and" || combiner === "or" ? "maximum" : combiner](x, start);
}

/** argmax or argmin: a reduction of (value, index) pairs with the comparator that JAX writes. Among equal values the lowest index wins. */
function argExtreme(c: OpContext, dims: readonly number[]): Item[] {
  const [dimension] = dims;
  const direction = comparatorOf(c.op.regions[0]);
  if (dimension === undefined) throw new Unconvertible("it reduces no dim");
  const [x, index] = [c.value(0), c.value(1)];
  const kept = x.type.dims.map((_, d) => d).filter((d) => d !== dimension);
  const best = c.b.reduce(x, [dimension], direction === "GT" ? "max" : "min");
  const hit = c.b.compare(x, c.b.broadcastInDim(best, x.type.dims, kept), "EQ");
  const candidates = c.b.select(hit, index, c.b.splat(2147483647, index.type));
  return c.results(best, c.b.reduce(candidates, [dimension], "min"));
}

/** The direction of a comparator of pairs: its first comparison is of the first values, its others treat NaN and equal values. */
function comparatorOf(region: Region | undefined): "GT" | "LT" | undefined {
  const operations: readonly Operation[] = region?.blocks[0]?.operations ?? [];
  const names = operations.map(({ name }) => name.replace(/^stablehlo\./, "")).join(" ");
  const directions = operations.flatMap((op) =>
    op.name === "stablehlo.compare" ? [bodyOf(op.attributes.get("comparison_direction"))] : [],
  );
  const [first] = directions;
  const known = [
    "compare compare or compare compare and or select select return",
    "compare compare or compare and compare or select select return",
  ];
  const rest = directions.slice(1).join();
  if (!known.includes(names) || (first !== "GT" && first !== "LT") || !["NE,EQ,LT", "EQ,LT"].includes(rest))
    return integerComparatorOf(names, directions);
  return first;
}

function integerComparatorOf(names: string, directions: readonly string[]): "GT" | "LT" | undefined {
  const [first, second, third] = directions;
  const known = names === "compare compare compare and or select select return" && second === "EQ" && third === "LT";
  return known && (first === "GT" || first === "LT") ? first : undefined;
}

export const contractionConverters: Readonly<Record<string, Converter>> = { dot_general: dotGeneral, reduce };
