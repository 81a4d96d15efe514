import { type OpDef, defineOp, elementwiseFactors, linearInFirst, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensorType } from "../types.js";

/**
 * The operand, at a point where its sharding may change: JAX's `with_sharding_constraint`. Rules for `logicalAxes`, those of
 * the dims, decide the sharding of the result. A dim without an axis is whole. Propagation does not pass through the op, and the
 * partitioner moves the operand to the sharding of the result. So programs of chips do not contain it.
 */
const constrain = defineOp({
  name: "constrain",
  arity: 1,
  placed: false,
  producer: false,
  movesData: false,
  transcendental: false,
  vectorWork: "none",
  kernel: "loop",
  rounds: false,
  foldable: true,
  communicates: false,
  fusible: "none",
  preserves: ["mask", "positions"],
  type: (inputs, { logicalAxes: axes }) => {
    const [x] = inputs;
    if (x === undefined || axes.length !== x.dims.length)
      throw new ShapeError("constrain", "needs one logical axis, or null, for every dim of the operand", inputs);
    return tensorType(x.dtype, x.dims);
  },
  vjp: (g, { grad, attrs }) => [g.op("constrain", [grad], attrs)],
  factors: elementwiseFactors,
  linearIn: linearInFirst,
  localize: sameAttrs,
  batch: ({ logicalAxes }, { axis }) => ({ logicalAxes: [axis, ...logicalAxes] }),
  flops: () => 0,
  evaluate: ([x]) => {
    if (x === undefined) throw new ShapeError("constrain", "needs an operand", []);
    return x;
  },
});

export const constrainOps: { readonly constrain: OpDef<"constrain"> } = { constrain };
