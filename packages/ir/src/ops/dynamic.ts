import type { Value } from "../graph.js";
import { type Factor, type FactorMap, type OpDef, type OpFactors, defineOp, linearInFirst, movementTraits, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { type Tensor, forEachIndex, tensor } from "../tensor.js";
import { type TensorType, stridesOf, tensorType } from "../types.js";

const isIndex = (start: TensorType | undefined): boolean => start?.dtype === "i32" && start.dims.length === 0;

/** The start that keeps `size` elements inside a dim of `whole`. */
const clamped = (start: Tensor | undefined, size: number, whole: number): number =>
  Math.max(0, Math.min(start?.data[0] ?? 0, whole - size));

/** All dims pass but `dimension`, which every array needs whole: its size may differ. The start is a scalar. */
function factorsBut(dimension: number, arrays: readonly TensorType[], output: TensorType): OpFactors {
  const factors: Factor[] = output.dims.map((size, d) => ({ size, kind: d === dimension ? "replicate" : "pass" }));
  const inputs: FactorMap[] = arrays.map(({ dims }) => {
    factors.push({ size: dims[dimension] ?? 0, kind: "replicate" });
    return dims.map((_, d) => [d === dimension ? factors.length - 1 : d]);
  });
  return { factors, inputs: [...inputs, []], output: output.dims.map((_, d) => [d]) };
}

const dynamicSlice = defineOp({
  ...movementTraits,
  name: "dynamic_slice",
  arity: 2,
  type: (inputs, { dimension, size }) => {
    const [x, start] = inputs;
    if (x === undefined || !isIndex(start) || dimension < 0 || size < 1 || size > (x.dims[dimension] ?? 0))
      throw new ShapeError("dynamic_slice", `needs an i32 scalar, and ${size} elements in dim ${dimension}`, inputs);
    return tensorType(
      x.dtype,
      x.dims.map((whole, d) => (d === dimension ? size : whole)),
    );
  },
  vjp: (g, { inputs, grad, attrs: { dimension } }) => {
    const [x, start] = inputs as [Value, Value];
    return [g.op("dynamic_update_slice", [g.splat(0, x.type), grad, start], { dimension }), undefined];
  },
  factors: ([x], output, { dimension }) => factorsBut(dimension, x === undefined ? [] : [x], output),
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, dimension: attrs.dimension + 1 }),
  flops: () => 0,
  evaluate: ([x, start], { dimension, size }, out) => {
    const own = stridesOf(x?.dims ?? []);
    const first = clamped(start, size, x?.dims[dimension] ?? 0) * (own[dimension] ?? 0);
    const result = new Float64Array(out.dims.reduce((a, b) => a * b, 1));
    forEachIndex(out.dims, (index, flat) => {
      result[flat] = x?.data[index.reduce((sum, i, d) => sum + i * (own[d] ?? 0), first)] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

const dynamicUpdateSlice = defineOp({
  ...movementTraits,
  name: "dynamic_update_slice",
  arity: 3,
  type: (inputs, { dimension }) => {
    const [x, update, start] = inputs;
    const fits = (whole: number, d: number): boolean => {
      const size = update?.dims[d] ?? 0;
      return d === dimension ? size >= 1 && size <= whole : size === whole;
    };
    if (
      x === undefined ||
      update === undefined ||
      !isIndex(start) ||
      update.dtype !== x.dtype ||
      update.dims.length !== x.dims.length ||
      dimension < 0 ||
      dimension >= x.dims.length ||
      !x.dims.every(fits)
    )
      throw new ShapeError("dynamic_update_slice", `needs an update that fits along dim ${dimension}, and an i32 scalar`, inputs);
    return x;
  },
  vjp: (g, { inputs, grad, attrs: { dimension } }) => {
    const [, update, start] = inputs as [Value, Value, Value];
    const size = update.type.dims[dimension] ?? 0;
    return [
      g.op("dynamic_update_slice", [grad, g.splat(0, update.type), start], { dimension }),
      g.op("dynamic_slice", [grad, start], { dimension, size }),
      undefined,
    ];
  },
  factors: ([x, update], output, { dimension }) =>
    factorsBut(dimension, x === undefined || update === undefined ? [] : [x, update], output),
  linearIn: () => [[0, 1]],
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, dimension: attrs.dimension + 1 }),
  flops: () => 0,
  evaluate: ([x, update, start], { dimension }, out) => {
    const [strides, result] = [stridesOf(out.dims), Float64Array.from(x?.data ?? [])];
    const first = clamped(start, update?.dims[dimension] ?? 0, out.dims[dimension] ?? 0) * (strides[dimension] ?? 0);
    forEachIndex(update?.dims ?? [], (index, flat) => {
      result[index.reduce((sum, i, d) => sum + i * (strides[d] ?? 0), first)] = update?.data[flat] ?? 0;
    });
    return tensor(out.dtype, out.dims, result);
  },
});

/** Slices whose start is a value. */
export const dynamicOps: { readonly [N in "dynamic_slice" | "dynamic_update_slice"]: OpDef<N> } = {
  dynamic_slice: dynamicSlice,
  dynamic_update_slice: dynamicUpdateSlice,
};
