import type { CompareDirection, Empty, OpName } from "../attrs.js";
import type { Value } from "../graph.js";
import { type OpDef, defineOp, notLinear } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { type Dtype, isFloat, sameDims, sameType, tensorType } from "../types.js";
import { type BinaryAttrs, type BinaryName, binaryOps } from "./binary.js";
import { type Binary, binary, elementwise, unary } from "./formula.js";
import { type UnaryAttrs, type UnaryName, unaryOps } from "./unary.js";

/** Attributes of the elementwise ops on operands of equal dims. */
interface ElementwiseAttrs extends UnaryAttrs, BinaryAttrs {
  /** Identity whose gradient is zero. */
  stop_gradient: Empty;
  convert: { readonly dtype: Dtype };
  and: Empty;
  /** `a` to the power of `b`. */
  power: Empty;
  /** The remainder of a division that truncates towards zero: it has the sign of `a`. */
  remainder: Empty;
  atan2: Empty;
  bitwise_and: Empty;
  bitwise_or: Empty;
  bitwise_xor: Empty;
  /** `a` shifted left by `b` bits, from 0 to 31. */
  shift_left: Empty;
  /** `a` shifted right by `b` bits, from 0 to 31, with copies of its sign. */
  shift_right_arithmetic: Empty;
  /** The same 32 bits as another type: f32 or i32. */
  bitcast_convert: { readonly dtype: Dtype };
  compare: { readonly direction: CompareDirection };
  /** (pred, on true, on false). */
  select: Empty;
}

declare module "../attrs.js" {
  /** Merged with the declaration in `attrs.ts`, which therefore imports no definition. */
  interface OpAttrs extends ElementwiseAttrs {}
}

export type ElementwiseName = keyof ElementwiseAttrs;

/** Comparisons of numbers, by direction. */
export const comparisons: Readonly<Record<CompareDirection, (a: number, b: number) => boolean>> = {
  EQ: (a, b) => a === b,
  NE: (a, b) => a !== b,
  LT: (a, b) => a < b,
  LE: (a, b) => a <= b,
  GT: (a, b) => a > b,
  GE: (a, b) => a >= b,
};

const compare = defineOp({
  ...elementwise,
  name: "compare",
  arity: 2,
  transcendental: false,
  rounds: false,
  fusible: "compare",
  preserves: [],
  type: (inputs) => {
    const [a, b] = inputs;
    if (a === undefined || b === undefined || !sameType(a, b)) throw new ShapeError("compare", "operands must have one type", inputs);
    return tensorType("pred", a.dims);
  },
  vjp: () => [undefined, undefined],
  linearIn: notLinear,
  evaluate: ([a, b], { direction }, out) => {
    const [x, y, test] = [a?.data ?? new Float64Array(), b?.data ?? new Float64Array(), comparisons[direction]];
    return tensor(
      "pred",
      out.dims,
      x.map((v, i) => (test(v, y[i] ?? 0) ? 1 : 0)),
    );
  },
});

const convert = defineOp({
  ...elementwise,
  name: "convert",
  arity: 1,
  transcendental: false,
  rounds: false,
  fusible: "convert",
  preserves: ["mask"],
  type: ([x], { dtype }) => tensorType(dtype, x?.dims ?? []),
  vjp: (g, { inputs, grad }) => {
    const from = (inputs[0] as Value).type.dtype;
    return [isFloat(from) ? g.convert(grad, from) : undefined];
  },
  linearIn: notLinear,
  evaluate: ([x], { dtype }, out) => {
    const data = x?.data ?? new Float64Array();
    return tensor(dtype, out.dims, dtype === "i32" ? data.map(Math.trunc) : dtype === "pred" ? data.map((v) => (v !== 0 ? 1 : 0)) : data);
  },
});

const select = defineOp({
  ...elementwise,
  name: "select",
  arity: 3,
  transcendental: false,
  rounds: false,
  fusible: "select",
  preserves: ["mask"],
  type: (inputs) => {
    const [p, a, b] = inputs;
    if (p === undefined || a === undefined || b === undefined || p.dtype !== "pred" || !sameType(a, b) || !sameDims(p.dims, a.dims))
      throw new ShapeError("select", "needs (pred, x, x) of equal dims", inputs);
    return a;
  },
  vjp: (g, { inputs, grad }) => {
    const zero = g.splat(0, grad.type);
    return [undefined, g.select(inputs[0] as Value, grad, zero), g.select(inputs[0] as Value, zero, grad)];
  },
  linearIn: () => [[1, 2]],
  evaluate: ([p, a, b], _, out) =>
    tensor(
      out.dtype,
      out.dims,
      (p?.data ?? new Float64Array()).map((v, i) => (v !== 0 ? a?.data[i] : b?.data[i]) ?? 0),
    ),
});
const stopGradient = unary<"stop_gradient">({
  name: "stop_gradient",
  integers: true,
  linear: true,
  transcendental: false,
  rounds: false,
  fusible: "none",
  formula: (x) => x,
  gradient: () => undefined,
});

const and = binary<"and">(
  {
    name: "and",
    preserves: [],
    linearIn: [],
    transcendental: false,
    rounds: false,
    fusible: "binary",
    formula: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
    gradient: () => [undefined, undefined],
  },
  true,
);

const realBinary = { preserves: [], linearIn: [], transcendental: true, rounds: true, fusible: "none" } as const;

const power = binary<"power">({
  ...realBinary,
  name: "power",
  formula: (a, b) => a ** b,
  gradient: (g, a, b, y, grad) => [g.multiply(grad, g.divide(g.multiply(y, b), a)), g.multiply(grad, g.multiply(y, g.log(a)))],
});

const remainder = binary<"remainder">({
  ...realBinary,
  name: "remainder",
  formula: (a, b) => a % b,
  // The quotient is a whole number, whose derivative is zero.
  gradient: (g, a, b, y, grad) => [grad, g.negate(g.multiply(grad, g.divide(g.subtract(a, y), b)))],
});

const atan2 = binary<"atan2">({
  ...realBinary,
  name: "atan2",
  formula: Math.atan2,
  gradient: (g, a, b, _y, grad) => {
    const scaled = g.divide(grad, g.add(g.multiply(a, a), g.multiply(b, b)));
    return [g.multiply(scaled, b), g.negate(g.multiply(scaled, a))];
  },
});

const bits = <N extends "bitwise_and" | "bitwise_or" | "bitwise_xor" | "shift_left" | "shift_right_arithmetic">(
  name: N,
  formula: (a: number, b: number) => number,
): OpDef<N> => {
  const def = binary<N>({
    name,
    preserves: [],
    linearIn: [],
    transcendental: false,
    rounds: false,
    fusible: "none",
    formula,
    gradient: () => [undefined, undefined],
  } as unknown as Binary<N>);
  const type: OpDef<N>["type"] = (inputs, attrs) => {
    if (inputs[0]?.dtype !== "i32") throw new ShapeError(name, "needs i32 operands", inputs);
    return def.type(inputs, attrs);
  };
  return { ...def, type };
};

const bitcastConvert = defineOp({
  ...elementwise,
  name: "bitcast_convert",
  arity: 1,
  transcendental: false,
  rounds: false,
  fusible: "none",
  preserves: [],
  type: (inputs, { dtype }) => {
    const [x] = inputs;
    const isWord = (type: Dtype | undefined): boolean => type === "f32" || type === "i32";
    if (x === undefined || !isWord(x.dtype) || !isWord(dtype))
      throw new ShapeError("bitcast_convert", "converts between f32 and i32", inputs);
    return tensorType(dtype, x.dims);
  },
  vjp: () => [undefined],
  linearIn: notLinear,
  evaluate: ([x], { dtype }, out) => {
    const view = new DataView(new ArrayBuffer(4));
    const cast = (v: number): number => {
      if (x?.dtype === dtype) return v;
      if (dtype === "f32") view.setInt32(0, v);
      else view.setFloat32(0, v);
      return dtype === "f32" ? view.getFloat32(0) : view.getInt32(0);
    };
    return tensor(dtype, out.dims, (x?.data ?? new Float64Array()).map(cast));
  },
});

export const elementwiseOps: { readonly [N in ElementwiseName]: OpDef<N> } = {
  ...unaryOps,
  ...binaryOps,
  stop_gradient: stopGradient,
  convert,
  and,
  power,
  remainder,
  atan2,
  bitwise_and: bits("bitwise_and", (a, b) => a & b),
  bitwise_or: bits("bitwise_or", (a, b) => a | b),
  bitwise_xor: bits("bitwise_xor", (a, b) => a ^ b),
  shift_left: bits("shift_left", (a, b) => a << b),
  shift_right_arithmetic: bits("shift_right_arithmetic", (a, b) => a >> b),
  bitcast_convert: bitcastConvert,
  compare,
  select,
};

export const unaryNames = Object.keys(unaryOps) as readonly UnaryName[];
export const binaryNames = Object.keys(binaryOps) as readonly BinaryName[];
/** Names of the elementwise ops on operands of equal dims. */
export const elementwiseNames: ReadonlySet<OpName> = new Set(Object.keys(elementwiseOps) as readonly ElementwiseName[]);
