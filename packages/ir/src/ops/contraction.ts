import { ensure } from "@lapidary/std";
import type { DimPair } from "../attrs.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";
import { type Factor, type OpDef, type OpFactors, afterLeading, defineOp, productTraits, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { forEachIndex, tensor } from "../tensor.js";
import { type TensorType, isFloat, sizeOf, stridesOf, tensorType } from "../types.js";

const at = (index: readonly number[], strides: readonly number[]): number => index.reduce((sum, i, d) => sum + i * (strides[d] ?? 0), 0);

const reduce = defineOp({
  name: "reduce",
  arity: 1,
  placed: false,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "operand",
  kernel: "loop",
  rounds: true,
  foldable: true,
  communicates: false,
  fusible: "reduce",
  preserves: [],
  type: (inputs, { dims }) => {
    const [x] = inputs;
    if (x === undefined || dims.length === 0 || new Set(dims).size !== dims.length || dims.some((d) => d < 0 || d >= x.dims.length))
      throw new ShapeError("reduce", `[${dims.join(",")}] are not dims of the operand`, inputs);
    return tensorType(
      x.dtype,
      x.dims.filter((_, d) => !dims.includes(d)),
    );
  },
  vjp: (g, { inputs, value, grad, attrs }) => {
    const x = inputs[0] as Value;
    const kept = x.type.dims.map((_, d) => d).filter((d) => !attrs.dims.includes(d));
    const spread = (v: Value): Value => g.broadcastInDim(v, x.type.dims, kept);
    if (attrs.kind === "sum") return [spread(grad)];
    // The gradient of a maximum is shared evenly among the elements that reach it.
    const hit = g.convert(g.compare(x, spread(value), "EQ"), "f32");
    const count = g.reduce(hit, attrs.dims, "sum");
    return [g.multiply(hit, spread(g.divide(grad, count)))];
  },
  factors: ([x], _, { dims, kind }) => ({
    factors: (x?.dims ?? []).map(
      (size, d): Factor => (dims.includes(d) ? { size, kind: "reduce", reduction: kind } : { size, kind: "pass" }),
    ),
    inputs: [(x?.dims ?? []).map((_d, i) => [i])],
    output: (x?.dims ?? [])
      .map((_d, i) => i)
      .filter((d) => !dims.includes(d))
      .map((d) => [d]),
  }),
  linearIn: ({ kind }) => (kind === "sum" ? [[0]] : []),
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, dims: afterLeading(attrs.dims) }),
  flops: ([x]) => sizeOf(x?.dims ?? []),
  evaluate: ([x], { dims, kind }, out) => {
    const input = ensure(x, "operand");
    const combine = kind === "sum" ? (a: number, b: number): number => a + b : kind === "max" ? Math.max : Math.min;
    const result = new Float64Array(sizeOf(out.dims)).fill(kind === "sum" ? 0 : kind === "max" ? -Infinity : Infinity);
    const outStrides = stridesOf(out.dims);
    let next = 0;
    const strides = input.dims.map((_, d) => (dims.includes(d) ? 0 : (outStrides[next++] ?? 0)));
    forEachIndex(input.dims, (index, flat) => {
      const to = at(index, strides);
      result[to] = combine(result[to] ?? 0, input.data[flat] ?? 0);
    });
    return tensor(out.dtype, out.dims, result);
  },
});

const left = (pairs: readonly DimPair[]): number[] => pairs.map(([l]) => l);
const flip = ([l, r]: DimPair): DimPair => [r, l];
const isAscending = (dims: readonly number[]): boolean => dims.every((d, i) => d === i);
const right = (pairs: readonly DimPair[]): number[] => pairs.map(([, r]) => r);
const freeDims = (rank: number, used: readonly number[]): number[] =>
  Array.from({ length: rank }, (_, d) => d).filter((d) => !used.includes(d));

/** Dims of the operands in the order of the result: batch, left free, right free. */
export function dotLayout(
  lhsRank: number,
  rhsRank: number,
  batch: readonly DimPair[],
  contracting: readonly DimPair[],
): { lhsFree: number[]; rhsFree: number[] } {
  return {
    lhsFree: freeDims(lhsRank, [...left(batch), ...left(contracting)]),
    rhsFree: freeDims(rhsRank, [...right(batch), ...right(contracting)]),
  };
}

/** A matmul of `a` and `b`, and the result dims of its batch dims, of the free dims of `a` and of the free dims of `b`. */
interface OrderedMatmul {
  readonly a: Value;
  readonly b: Value;
  readonly batch: readonly DimPair[];
  readonly contracting: readonly DimPair[];
  readonly batchDims: readonly number[];
  readonly freeDimsOfA: readonly number[];
  readonly freeDimsOfB: readonly number[];
}

/**
 * A matmul with the dims of its result in the given order. Dims of a·b are batch, free dims of a, free dims of b. If b·a has
 * the wanted order, no transpose is needed. An example is the gradient of a weight [out, in].
 */
function orderedMatmul(g: GradientBuilder, { a, b, batch, contracting, batchDims, freeDimsOfA, freeDimsOfB }: OrderedMatmul): Value {
  const order = [...batchDims, ...freeDimsOfA, ...freeDimsOfB];
  const swapped = [...batchDims, ...freeDimsOfB, ...freeDimsOfA];
  if (!isAscending(order) && isAscending(swapped)) return g.dotGeneral(b, a, batch.map(flip), contracting.map(flip));
  return g.transpose(
    g.dotGeneral(a, b, batch, contracting),
    order.map((_, d) => order.indexOf(d)),
  );
}

/** A matmul over `contracting` dims, batched over `batch` dims. Result dims: batch, lhs free, rhs free (StableHLO `dot_general`). */
const dotGeneral = defineOp({
  name: "dot_general",
  arity: 2,
  ...productTraits,
  type: (inputs, { batch, contracting }) => {
    const [lhs, rhs] = inputs;
    if (lhs === undefined || rhs === undefined || lhs.dtype !== rhs.dtype || !isFloat(lhs.dtype))
      throw new ShapeError("dot_general", "needs two operands of one float type", inputs);
    const pairs = [...batch, ...contracting];
    for (const [l, r] of pairs)
      if (lhs.dims[l] === undefined || lhs.dims[l] !== rhs.dims[r])
        throw new ShapeError(
          "dot_general",
          `dims ${l} and ${r} differ`,
          inputs,
          "transpose or reshape so that paired dims have equal size",
        );
    if (new Set(left(pairs)).size !== pairs.length || new Set(right(pairs)).size !== pairs.length)
      throw new ShapeError("dot_general", "a dim is paired twice", inputs);
    const { lhsFree, rhsFree } = dotLayout(lhs.dims.length, rhs.dims.length, batch, contracting);
    return tensorType(lhs.dtype, [
      ...left(batch).map((d) => lhs.dims[d] ?? 0),
      ...lhsFree.map((d) => lhs.dims[d] ?? 0),
      ...rhsFree.map((d) => rhs.dims[d] ?? 0),
    ]);
  },
  // d lhs = grad · rhs over the free dims of rhs, d rhs = lhs · grad over the free dims of lhs; then the dims are reordered.
  vjp: (g, { inputs, grad, attrs: { batch, contracting } }) => {
    const [lhs, rhs] = inputs as [Value, Value];
    const { lhsFree, rhsFree } = dotLayout(lhs.type.dims.length, rhs.type.dims.length, batch, contracting);
    const nb = batch.length;
    const gradLhsFree = lhsFree.map((_, i) => nb + i);
    const gradRhsFree = rhsFree.map((_, i) => nb + lhsFree.length + i);
    const byLeft = [...contracting].sort((a, b) => a[1] - b[1]);
    const byRight = [...contracting].sort((a, b) => a[0] - b[0]);
    return [
      orderedMatmul(g, {
        a: grad,
        b: rhs,
        batch: batch.map(([, r], i) => [i, r]),
        contracting: gradRhsFree.map((d, i) => [d, rhsFree[i] ?? 0]),
        batchDims: left(batch),
        freeDimsOfA: lhsFree,
        freeDimsOfB: left(byLeft),
      }),
      orderedMatmul(g, {
        a: lhs,
        b: grad,
        batch: batch.map(([l], i) => [l, i]),
        contracting: lhsFree.map((d, i) => [d, gradLhsFree[i] ?? 0]),
        batchDims: right(batch),
        freeDimsOfA: right(byRight),
        freeDimsOfB: rhsFree,
      }),
    ];
  },
  factors: ([lhs, rhs], _, { batch, contracting }) => dotFactors(ensure(lhs, "lhs"), ensure(rhs, "rhs"), batch, contracting),
  linearIn: () => [[0], [1]],
  localize: sameAttrs,
  batch: ({ batch, contracting }) => ({
    batch: [[0, 0], ...batch.map(([l, r]): DimPair => [l + 1, r + 1])],
    contracting: contracting.map(([l, r]): DimPair => [l + 1, r + 1]),
  }),
  flops: ([lhs], output, { contracting }) => 2 * sizeOf(output.dims) * contracting.reduce((n, [l]) => n * (lhs?.dims[l] ?? 1), 1),
  evaluate: ([lhs, rhs], { batch, contracting }, out) => {
    const [a, b] = [ensure(lhs, "lhs"), ensure(rhs, "rhs")];
    const { lhsFree, rhsFree } = dotLayout(a.dims.length, b.dims.length, batch, contracting);
    const [sa, sb] = [stridesOf(a.dims), stridesOf(b.dims)];
    const zero = (n: number): number[] => Array<number>(n).fill(0);
    const outA = [...left(batch).map((d) => sa[d] ?? 0), ...lhsFree.map((d) => sa[d] ?? 0), ...zero(rhsFree.length)];
    const outB = [...right(batch).map((d) => sb[d] ?? 0), ...zero(lhsFree.length), ...rhsFree.map((d) => sb[d] ?? 0)];
    const [kA, kB] = [left(contracting).map((d) => sa[d] ?? 0), right(contracting).map((d) => sb[d] ?? 0)];
    const kDims = left(contracting).map((d) => a.dims[d] ?? 0);
    const [offsetsA, offsetsB]: [number[], number[]] = [[], []];
    forEachIndex(kDims, (index) => {
      offsetsA.push(at(index, kA));
      offsetsB.push(at(index, kB));
    });
    const result = new Float64Array(sizeOf(out.dims));
    forEachIndex(out.dims, (index, flat) => {
      const [baseA, baseB] = [at(index, outA), at(index, outB)];
      let sum = 0;
      for (let k = 0; k < offsetsA.length; k++)
        sum += (a.data[baseA + (offsetsA[k] ?? 0)] ?? 0) * (b.data[baseB + (offsetsB[k] ?? 0)] ?? 0);
      result[flat] = sum;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

function dotFactors(lhs: TensorType, rhs: TensorType, batch: readonly DimPair[], contracting: readonly DimPair[]): OpFactors {
  const factors: Factor[] = [];
  const [l, r]: [number[][], number[][]] = [lhs.dims.map(() => []), rhs.dims.map(() => [])];
  const output: number[][] = [];
  const add = (size: number, kind: Factor["kind"]): number =>
    factors.push(kind === "reduce" ? { size, kind, reduction: "sum" } : { size, kind }) - 1;
  const { lhsFree, rhsFree } = dotLayout(lhs.dims.length, rhs.dims.length, batch, contracting);
  for (const [a, b] of batch) {
    const f = add(lhs.dims[a] ?? 0, "pass");
    l[a] = [f];
    r[b] = [f];
    output.push([f]);
  }
  for (const d of lhsFree) {
    l[d] = [add(lhs.dims[d] ?? 0, "pass")];
    output.push(l[d] ?? []);
  }
  for (const d of rhsFree) {
    r[d] = [add(rhs.dims[d] ?? 0, "pass")];
    output.push(r[d] ?? []);
  }
  for (const [a, b] of contracting) {
    const f = add(lhs.dims[a] ?? 0, "reduce");
    l[a] = [f];
    r[b] = [f];
  }
  return { factors, inputs: [l, r], output };
}

export const contractionOps: { readonly [N in "reduce" | "dot_general"]: OpDef<N> } = { reduce, dot_general: dotGeneral };
