import { normalAt } from "@lapidary/std";
import { type OpDef, defineOp, elementwiseFactors, notLinear } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { sizeOf, stridesOf, tensorType } from "../types.js";

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
  flops: () => 0,
  evaluate: (_, { key, scale }, out) =>
    tensor(
      "f32",
      out.dims,
      Float64Array.from({ length: sizeOf(out.dims) }, (_v, i) => Math.fround(normalAt(key, i) * scale)),
    ),
});

export const structureOps = { parameter, constant, iota, rng_normal: rngNormal } satisfies {
  [N in "parameter" | "constant" | "iota" | "rng_normal"]: OpDef<N>;
};
