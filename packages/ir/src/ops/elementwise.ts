import type { CompareDirection, Empty, OpName } from "../attrs.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";
import { type OpDef, type OpTraits, type Preserved, defineOp, elementwiseFactors, linearInFirst, notLinear, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { erf, erfc } from "../special-functions.js";
import { tensor } from "../tensor.js";
import { type Dtype, type TensorType, isFloat, sameDims, sameType, sizeOf, tensorType } from "../types.js";

/** Attributes of the ops with one float operand. */
interface UnaryAttrs {
  negate: Empty;
  exponential: Empty;
  log: Empty;
  tanh: Empty;
  sqrt: Empty;
  rsqrt: Empty;
  cosine: Empty;
  sine: Empty;
  abs: Empty;
  log_plus_one: Empty;
  exponential_minus_one: Empty;
  erf: Empty;
  /** 1 − erf(x), exact also where erf(x) is near 1. */
  erfc: Empty;
  floor: Empty;
}

/** Attributes of the ops with two operands of one type that is not pred. */
interface BinaryAttrs {
  add: Empty;
  subtract: Empty;
  multiply: Empty;
  divide: Empty;
  maximum: Empty;
  minimum: Empty;
}

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

export type UnaryName = keyof UnaryAttrs;
export type BinaryName = keyof BinaryAttrs;
export type ElementwiseName = keyof ElementwiseAttrs;

/** An interval of numbers. */
export type Interval = readonly [low: number, high: number];

/** The data from which printers, test cases and random graphs of one-operand and two-operand ops are made. */
interface FormulaDef<D> {
  /** Name of the StableHLO op that means the same. */
  readonly stablehlo: string;
  /** Operands that tests draw: results and derivatives are finite and near 1 on it. */
  readonly domain: D;
  /** The derivative is continuous on the domain. */
  readonly smooth: boolean;
}
export type UnaryDef<N extends UnaryName> = OpDef<N> & FormulaDef<Interval>;
export type BinaryDef<N extends BinaryName> = OpDef<N> & FormulaDef<readonly [left: Interval, right: Interval]>;

/** The domain of ops that are defined everywhere. */
export const anywhere: Interval = [-2, 2];

/** The common fields of all elementwise ops. */
const elementwise = {
  placed: false,
  producer: false,
  movesData: false,
  vectorWork: "result",
  kernel: "loop",
  foldable: true,
  communicates: false,
  factors: elementwiseFactors,
  localize: sameAttrs,
  batch: sameAttrs,
  flops: (_: readonly TensorType[], output: TensorType): number => sizeOf(output.dims),
} as const;

type Unary<N extends OpName> = Pick<OpTraits, "transcendental" | "rounds" | "fusible"> &
  Pick<OpDef<N>, "name"> & {
    /** Whether i32 is an operand type in addition to the float types. */
    readonly integers: boolean;
    readonly linear: boolean;
    readonly formula: (x: number) => number;
    /** The gradient of the operand `x` of `y`; undefined: no gradient. */
    readonly gradient: (g: GradientBuilder, x: Value, y: Value, grad: Value) => Value | undefined;
  };

function unary<N extends OpName>({ name, integers, linear, formula, gradient, ...traits }: Unary<N>): OpDef<N> {
  return defineOp<N>({
    ...elementwise,
    ...traits,
    name,
    arity: 1,
    preserves: [],
    type: (inputs) => {
      const [x] = inputs;
      if (x === undefined || !(isFloat(x.dtype) || (integers && x.dtype === "i32")))
        throw new ShapeError(name, "needs one operand of float type", inputs);
      return x;
    },
    vjp: (g, { inputs, value, grad }) => [gradient(g, inputs[0] as Value, value, grad)],
    linearIn: linear ? linearInFirst : notLinear,
    evaluate: ([x], _, out) => tensor(out.dtype, out.dims, (x?.data ?? new Float64Array()).map(formula)),
  });
}

type Binary<N extends OpName> = Pick<OpTraits, "transcendental" | "rounds" | "fusible"> &
  Pick<OpDef<N>, "name"> & {
    readonly preserves: readonly Preserved[];
    /** Sets of operands in which the op is jointly linear. */
    readonly linearIn: readonly (readonly number[])[];
    readonly formula: (a: number, b: number) => number;
    readonly gradient: (g: GradientBuilder, a: Value, b: Value, y: Value, grad: Value) => readonly (Value | undefined)[];
  };

/** @param ofPred whether the operands are pred, or of any other type */
function binary<N extends OpName>({ name, linearIn, formula, gradient, ...traits }: Binary<N>, ofPred = false): OpDef<N> {
  return defineOp<N>({
    ...elementwise,
    ...traits,
    name,
    arity: 2,
    type: (inputs) => {
      const [a, b] = inputs;
      if (a === undefined || b === undefined || !sameType(a, b))
        throw new ShapeError(name, "operands must have one type", inputs, "broadcast_in_dim or convert one of them");
      if (ofPred !== (a.dtype === "pred"))
        throw new ShapeError(name, ofPred ? "needs pred operands" : "does not take pred operands", inputs);
      return a;
    },
    vjp: (g, { inputs, value, grad }) => gradient(g, inputs[0] as Value, inputs[1] as Value, value, grad),
    linearIn: () => linearIn,
    evaluate: ([a, b], _, out) => {
      const [x, y] = [a?.data ?? new Float64Array(), b?.data ?? new Float64Array()];
      const exact = out.dtype === "i32" ? (v: number, w: number): number => wrapped(name, formula, v, w) : formula;
      return tensor(
        out.dtype,
        out.dims,
        x.map((v, i) => exact(v, y[i] ?? 0)),
      );
    },
  });
}

/** The result on i32: it keeps the lowest 32 bits, and a quotient is truncated towards zero. */
const wrapped = (name: OpName, formula: (a: number, b: number) => number, a: number, b: number): number =>
  name === "multiply" ? Math.imul(a, b) : Math.trunc(formula(a, b)) | 0;

const unaryFormula = <N extends UnaryName>(def: Omit<Unary<N>, "fusible"> & FormulaDef<Interval>): UnaryDef<N> => {
  const { stablehlo, domain, smooth, ...op } = def;
  return { ...unary<N>({ ...op, fusible: "unary" } as Unary<N>), stablehlo, domain, smooth };
};

const binaryFormula = <N extends BinaryName>(
  def: Omit<Binary<N>, "fusible"> & Pick<BinaryDef<N>, "stablehlo" | "domain" | "smooth">,
): BinaryDef<N> => {
  const { stablehlo, domain, smooth, ...op } = def;
  return { ...binary<N>({ ...op, fusible: "binary" } as Binary<N>), stablehlo, domain, smooth };
};

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

/** The gradient goes to the operand that the op selects, and half of it to each of two equal operands. */
const gradientOfSelected = (g: GradientBuilder, a: Value, b: Value, grad: Value, direction: "GT" | "LT"): readonly Value[] => {
  const [zero, half] = [g.splat(0, grad.type), g.multiply(grad, g.splat(0.5, grad.type))];
  const tie = g.select(g.compare(a, b, "EQ"), half, zero);
  const flip = direction === "GT" ? "LT" : "GT";
  return [g.add(g.select(g.compare(a, b, direction), grad, zero), tie), g.add(g.select(g.compare(a, b, flip), grad, zero), tie)];
};

export const unaryOps: { readonly [N in UnaryName]: UnaryDef<N> } = {
  negate: unaryFormula({
    name: "negate",
    integers: true,
    linear: true,
    transcendental: false,
    rounds: false,
    stablehlo: "negate",
    domain: anywhere,
    smooth: true,
    formula: (x) => -x,
    gradient: (g, _x, _y, grad) => g.negate(grad),
  }),
  exponential: unaryFormula({
    name: "exponential",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "exponential",
    domain: anywhere,
    smooth: true,
    formula: Math.exp,
    gradient: (g, _x, y, grad) => g.multiply(grad, y),
  }),
  log: unaryFormula({
    name: "log",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "log",
    domain: [0.5, 3],
    smooth: true,
    formula: Math.log,
    gradient: (g, x, _y, grad) => g.divide(grad, x),
  }),
  tanh: unaryFormula({
    name: "tanh",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "tanh",
    domain: anywhere,
    smooth: true,
    formula: Math.tanh,
    gradient: (g, _x, y, grad) => g.multiply(grad, g.subtract(g.splat(1, y.type), g.multiply(y, y))),
  }),
  sqrt: unaryFormula({
    name: "sqrt",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "sqrt",
    domain: [0.5, 3],
    smooth: true,
    formula: Math.sqrt,
    gradient: (g, _x, y, grad) => g.divide(g.multiply(grad, g.splat(0.5, y.type)), y),
  }),
  rsqrt: unaryFormula({
    name: "rsqrt",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "rsqrt",
    domain: [0.5, 3],
    smooth: true,
    formula: (x) => 1 / Math.sqrt(x),
    gradient: (g, _x, y, grad) => g.multiply(grad, g.multiply(g.splat(-0.5, y.type), g.multiply(y, g.multiply(y, y)))),
  }),
  cosine: unaryFormula({
    name: "cosine",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "cosine",
    domain: anywhere,
    smooth: true,
    formula: Math.cos,
    gradient: (g, x, _y, grad) => g.negate(g.multiply(grad, g.sine(x))),
  }),
  sine: unaryFormula({
    name: "sine",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "sine",
    domain: anywhere,
    smooth: true,
    formula: Math.sin,
    gradient: (g, x, _y, grad) => g.multiply(grad, g.cosine(x)),
  }),
  abs: unaryFormula({
    name: "abs",
    integers: true,
    linear: false,
    transcendental: false,
    rounds: false,
    stablehlo: "abs",
    domain: anywhere,
    smooth: false,
    formula: Math.abs,
    gradient: (g, x, _y, grad) => g.select(g.compare(x, g.splat(0, x.type), "GE"), grad, g.negate(grad)),
  }),
  log_plus_one: unaryFormula({
    name: "log_plus_one",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "log_plus_one",
    domain: [-0.5, 2],
    smooth: true,
    formula: Math.log1p,
    gradient: (g, x, _y, grad) => g.divide(grad, g.add(x, g.splat(1, x.type))),
  }),
  exponential_minus_one: unaryFormula({
    name: "exponential_minus_one",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "exponential_minus_one",
    domain: anywhere,
    smooth: true,
    formula: Math.expm1,
    gradient: (g, _x, y, grad) => g.multiply(grad, g.add(y, g.splat(1, y.type))),
  }),
  erf: unaryFormula({
    name: "erf",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "erf",
    domain: anywhere,
    smooth: true,
    formula: erf,
    gradient: (g, x, _y, grad) => gaussianSlope(g, x, grad, 2 / Math.sqrt(Math.PI)),
  }),
  erfc: unaryFormula({
    name: "erfc",
    integers: false,
    linear: false,
    transcendental: true,
    rounds: true,
    stablehlo: "erfc",
    domain: anywhere,
    smooth: true,
    formula: erfc,
    gradient: (g, x, _y, grad) => gaussianSlope(g, x, grad, -2 / Math.sqrt(Math.PI)),
  }),
  floor: unaryFormula({
    name: "floor",
    integers: false,
    linear: false,
    transcendental: false,
    rounds: false,
    stablehlo: "floor",
    domain: [0.25, 0.75],
    smooth: true,
    formula: Math.floor,
    gradient: (g, x, _y, grad) => g.multiply(grad, g.splat(0, x.type)),
  }),
};

/** `grad · scale · exp(−x²)`: the derivative of erf and erfc. */
const gaussianSlope = (g: GradientBuilder, x: Value, grad: Value, scale: number): Value =>
  g.multiply(grad, g.multiply(g.splat(scale, x.type), g.exponential(g.negate(g.multiply(x, x)))));

export const binaryOps: { readonly [N in BinaryName]: BinaryDef<N> } = {
  add: binaryFormula({
    name: "add",
    preserves: ["positions"],
    linearIn: [[0, 1]],
    transcendental: false,
    rounds: true,
    stablehlo: "add",
    domain: [anywhere, anywhere],
    smooth: true,
    formula: (a, b) => a + b,
    gradient: (_g, _a, _b, _y, grad) => [grad, grad],
  }),
  subtract: binaryFormula({
    name: "subtract",
    preserves: ["positions"],
    linearIn: [[0, 1]],
    transcendental: false,
    rounds: true,
    stablehlo: "subtract",
    domain: [anywhere, anywhere],
    smooth: true,
    formula: (a, b) => a - b,
    gradient: (g, _a, _b, _y, grad) => [grad, g.negate(grad)],
  }),
  multiply: binaryFormula({
    name: "multiply",
    preserves: [],
    linearIn: [[0], [1]],
    transcendental: false,
    rounds: true,
    stablehlo: "multiply",
    domain: [anywhere, anywhere],
    smooth: true,
    formula: (a, b) => a * b,
    gradient: (g, a, b, _y, grad) => [g.multiply(grad, b), g.multiply(grad, a)],
  }),
  divide: binaryFormula({
    name: "divide",
    preserves: [],
    linearIn: [[0]],
    transcendental: true,
    rounds: true,
    stablehlo: "divide",
    domain: [anywhere, [0.5, 3]],
    smooth: true,
    formula: (a, b) => a / b,
    gradient: (g, _a, b, y, grad) => [g.divide(grad, b), g.negate(g.divide(g.multiply(grad, y), b))],
  }),
  maximum: binaryFormula({
    name: "maximum",
    preserves: [],
    linearIn: [],
    transcendental: false,
    rounds: false,
    stablehlo: "maximum",
    domain: [anywhere, anywhere],
    smooth: false,
    formula: Math.max,
    gradient: (g, a, b, _y, grad) => gradientOfSelected(g, a, b, grad, "GT"),
  }),
  minimum: binaryFormula({
    name: "minimum",
    preserves: [],
    linearIn: [],
    transcendental: false,
    rounds: false,
    stablehlo: "minimum",
    domain: [anywhere, anywhere],
    smooth: false,
    formula: Math.min,
    gradient: (g, a, b, _y, grad) => gradientOfSelected(g, a, b, grad, "LT"),
  }),
};

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
