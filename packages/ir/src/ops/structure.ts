import { normalAt, uniformAt } from "@lapidary/std";
import { type OpDef, type OpTraits, defineOp, elementwiseFactors, linearInFirst, notLinear, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { sameType, sizeOf, stridesOf, tensorType } from "../types.js";

/** An input of the graph: a state or a batch. The model that builds the graph gives its type. */
const parameter = defineOp({
  name: "parameter",
  arity: 0,
  placed: false,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: false,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: () => {
    throw new ShapeError("parameter", "the type of a parameter is given, not inferred", []);
  },
  vjp: () => [],
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: (attrs) => attrs,
  batch: null,
  flops: () => 0,
  evaluate: null,
});

/** One number in every element. */
const constant = defineOp({
  name: "constant",
  arity: 0,
  placed: false,
  producer: true,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: true,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (_, { dims, dtype }) => tensorType(dtype, dims),
  vjp: () => [],
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: (attrs, _, output) => ({ ...attrs, dims: output }),
  batch: null,
  flops: () => 0,
  evaluate: (_, { value }, out) => tensor(out.dtype, out.dims, new Float64Array(sizeOf(out.dims)).fill(value)),
});

/** The index along `dimension`. */
const iota = defineOp({
  name: "iota",
  arity: 0,
  placed: true,
  producer: true,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (_, { dims, dtype, dimension }) => {
    if (dimension < 0 || dimension >= dims.length) throw new ShapeError("iota", `no dim ${dimension} in [${dims.join(",")}]`, []);
    return tensorType(dtype, dims);
  },
  vjp: () => [],
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: (attrs, _, output) => ({ ...attrs, dims: output }),
  batch: null,
  flops: () => 0,
  evaluate: (_, { dimension }, out) => {
    const [stride, size] = [stridesOf(out.dims)[dimension] ?? 1, out.dims[dimension] ?? 1];
    return tensor(
      out.dtype,
      out.dims,
      Float64Array.from({ length: sizeOf(out.dims) }, (_v, i) => Math.floor(i / stride) % size),
    );
  },
});

/** An element of an array of normal numbers with `size` elements, by its index in the whole array. */
export function normalElement(
  { key, scale, keys = [key] }: { readonly key: number; readonly scale: number; readonly keys?: readonly number[] },
  size: number,
): (index: number) => number {
  const inSlice = size / keys.length;
  if (keys.length === 1) return (index) => normalAt(key, index) * scale;
  return (index) => {
    const slice = Math.floor(index / inSlice);
    return normalAt(keys[slice] ?? key, index - slice * inSlice) * scale;
  };
}

const rngNormal = defineOp({
  name: "rng_normal",
  arity: 0,
  placed: true,
  producer: false,
  movesData: true,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: true,
  foldable: false,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (_, { dims }) => tensorType("f32", dims),
  vjp: () => [],
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: (attrs, _, output) => ({ ...attrs, dims: output }),
  batch: null,
  flops: () => 0,
  evaluate: (_, attrs, out) => {
    const element = normalElement(attrs, sizeOf(out.dims));
    return tensor(
      "f32",
      out.dims,
      Float64Array.from({ length: sizeOf(out.dims) }, (_v, i) => Math.fround(element(i))),
    );
  },
});

const rngUniform = defineOp({
  name: "rng_uniform",
  arity: 1,
  placed: true,
  producer: false,
  movesData: true,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: true,
  foldable: false,
  communicates: false,
  fusible: "none",
  preserves: [],
  type: (inputs, { dims }) => {
    const [key] = inputs;
    if (key?.dtype !== "i32" || key.dims.length !== 0) throw new ShapeError("rng_uniform", "needs a key, an i32 scalar", inputs);
    return tensorType("f32", dims);
  },
  vjp: () => [undefined],
  factors: (_, output) => ({
    factors: output.dims.map((size) => ({ size, kind: "pass" as const })),
    inputs: [[]],
    output: output.dims.map((_d, i) => [i]),
  }),
  linearIn: notLinear,
  localize: (attrs, _, output) => ({ ...attrs, dims: output }),
  batch: null,
  flops: () => 0,
  evaluate: ([key], _, out) =>
    tensor(
      "f32",
      out.dims,
      Float64Array.from({ length: sizeOf(out.dims) }, (_v, i) => uniformAt(key?.data[0] ?? 0, i)),
    ),
});

const regionTraits = {
  placed: false,
  producer: false,
  movesData: true,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: false,
  communicates: false,
  fusible: "none",
  preserves: [],
} as const satisfies OpTraits;

/** Nothing differentiates through a region: its body contains the backward pass of what it computes. */
const carry = defineOp({
  ...regionTraits,
  name: "carry",
  arity: 1,
  type: (inputs) => {
    const [initial] = inputs;
    if (initial === undefined) throw new ShapeError("carry", "needs the value of the first iteration", inputs);
    return initial;
  },
  vjp: null,
  factors: elementwiseFactors,
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: null,
  flops: () => 0,
  evaluate: ([initial], _, out) => tensor(out.dtype, out.dims, initial?.data ?? []),
});

const yieldOp = defineOp({
  ...regionTraits,
  name: "yield",
  arity: 2,
  type: (inputs) => {
    const [carried, next] = inputs;
    if (carried === undefined || next === undefined || !sameType(carried, next))
      throw new ShapeError("yield", "the next value has the type of the carried value", inputs);
    return carried;
  },
  vjp: null,
  factors: elementwiseFactors,
  linearIn: () => [[0, 1]],
  localize: sameAttrs,
  batch: null,
  flops: () => 0,
  evaluate: ([, next], _, out) => tensor(out.dtype, out.dims, next?.data ?? []),
});

export const structureOps = { parameter, constant, iota, rng_normal: rngNormal, rng_uniform: rngUniform, carry, yield: yieldOp } satisfies {
  [N in "parameter" | "constant" | "iota" | "rng_normal" | "rng_uniform" | "carry" | "yield"]: OpDef<N>;
};
