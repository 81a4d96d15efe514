import { type OpDef, defineOp, linearInFirst, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { isFloat, stridesOf, tensorType } from "../types.js";

/** Running sums along one dim, which each chip needs whole. Element i has the sum of the elements up to i; with `reverse` of those from i. */
const cumsum = defineOp({
  name: "cumsum",
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
  fusible: "none",
  preserves: [],
  type: (inputs, { dimension }) => {
    const [x] = inputs;
    if (x === undefined || !(isFloat(x.dtype) || x.dtype === "i32") || dimension < 0 || dimension >= x.dims.length)
      throw new ShapeError("cumsum", `needs numbers and a dim ${dimension}`, inputs);
    return tensorType(x.dtype, x.dims);
  },
  vjp: (g, { grad, attrs }) => [g.op("cumsum", [grad], { ...attrs, reverse: !attrs.reverse })],
  factors: (_, output, { dimension }) => {
    const map = output.dims.map((_d, d) => [d]);
    return {
      factors: output.dims.map((size, d) => ({ size, kind: d === dimension ? ("replicate" as const) : ("pass" as const) })),
      inputs: [map],
      output: map,
    };
  },
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: (attrs) => ({ ...attrs, dimension: attrs.dimension + 1 }),
  flops: (_, output) => output.dims.reduce((a, b) => a * b, 1),
  evaluate: ([x], { dimension, reverse }, out) => {
    const result = Float64Array.from(x?.data ?? []);
    const size = out.dims[dimension] ?? 1;
    const stride = stridesOf(out.dims)[dimension] ?? 1;
    for (let at = 0; at < result.length; at++) {
      const i = Math.floor(at / stride) % size;
      // Reversed sums are computed from the last element, so that the element after this one is complete.
      const flat = reverse ? result.length - 1 - at : at;
      if (i > 0) result[flat] = (result[flat] ?? 0) + (result[flat + (reverse ? stride : -stride)] ?? 0);
    }
    return tensor(out.dtype, out.dims, result);
  },
});

export const cumsumOps: { readonly cumsum: OpDef<"cumsum"> } = { cumsum };
