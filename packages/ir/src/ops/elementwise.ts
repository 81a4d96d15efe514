import type { CompareDirection, OpAttrs, OpName } from "../attrs.js";
import type { GraphBuilder } from "../builder.js";
import type { Value } from "../graph.js";
import { type OpDef, defineOp, elementwiseFactors, linearInFirst, notLinear, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { type TensorType, isFloat, sameDims, sameType, sizeOf, tensorType } from "../types.js";

type UnaryName = "negate" | "exponential" | "log" | "tanh" | "sqrt" | "rsqrt" | "cosine" | "sine" | "abs" | "stop_gradient";
type BinaryName = "add" | "subtract" | "multiply" | "divide" | "maximum" | "minimum" | "and";

const elementFlops = (_: readonly TensorType[], output: TensorType): number => sizeOf(output.dims);

function unary<N extends UnaryName>(
  name: N,
  f: (x: number) => number,
  gradient: (g: GraphBuilder, x: Value, y: Value, grad: Value) => Value | undefined,
  linear = false,
): OpDef<N> {
  return defineOp<N>({
    name,
    arity: 1,
    type: (inputs) => {
      const [x] = inputs;
      if (
        x === undefined ||
        !(isFloat(x.dtype) || ((name === "negate" || name === "abs" || name === "stop_gradient") && x.dtype === "i32"))
      )
        throw new ShapeError(name, "needs one operand of float type", inputs);
      return x;
    },
    vjp: (g, { inputs, value, grad }) => [gradient(g, inputs[0] as Value, value as unknown as Value, grad)],
    factors: elementwiseFactors,
    linearIn: linear ? linearInFirst : notLinear,
    localize: sameAttrs,
    flops: elementFlops,
    evaluate: ([x], _, out) => tensor(out.dtype, out.dims, (x?.data ?? new Float64Array()).map(f)),
  });
}

function binary<N extends BinaryName>(
  name: N,
  f: (a: number, b: number) => number,
  gradient: (g: GraphBuilder, a: Value, b: Value, y: Value, grad: Value) => readonly (Value | undefined)[],
  linearIn: readonly (readonly number[])[],
): OpDef<N> {
  return defineOp<N>({
    name,
    arity: 2,
    type: (inputs) => {
      const [a, b] = inputs;
      if (a === undefined || b === undefined || !sameType(a, b))
        throw new ShapeError(name, "operands must have one type", inputs, "broadcast_in_dim or convert one of them");
      if ((name === "and") !== (a.dtype === "pred"))
        throw new ShapeError(name, name === "and" ? "needs pred operands" : "does not take pred operands", inputs);
      return a;
    },
    vjp: (g, { inputs, value, grad }) => gradient(g, inputs[0] as Value, inputs[1] as Value, value as unknown as Value, grad),
    factors: elementwiseFactors,
    linearIn: () => linearIn,
    localize: sameAttrs,
    flops: elementFlops,
    evaluate: ([a, b], _, out) => {
      const [x, y] = [a?.data ?? new Float64Array(), b?.data ?? new Float64Array()];
      return tensor(
        out.dtype,
        out.dims,
        x.map((v, i) => f(v, y[i] ?? 0)),
      );
    },
  });
}

const comparisons: Readonly<Record<CompareDirection, (a: number, b: number) => boolean>> = {
  EQ: (a, b) => a === b,
  NE: (a, b) => a !== b,
  LT: (a, b) => a < b,
  LE: (a, b) => a <= b,
  GT: (a, b) => a > b,
  GE: (a, b) => a >= b,
};

const compare = defineOp({
  name: "compare",
  arity: 2,
  type: (inputs) => {
    const [a, b] = inputs;
    if (a === undefined || b === undefined || !sameType(a, b)) throw new ShapeError("compare", "operands must have one type", inputs);
    return tensorType("pred", a.dims);
  },
  vjp: () => [undefined, undefined],
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: sameAttrs,
  flops: elementFlops,
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
  name: "convert",
  arity: 1,
  type: ([x], { dtype }) => tensorType(dtype, x?.dims ?? []),
  vjp: (g, { inputs, grad }) => {
    const from = (inputs[0] as Value).type.dtype;
    return [isFloat(from) ? g.convert(grad, from) : undefined];
  },
  factors: elementwiseFactors,
  linearIn: notLinear,
  localize: sameAttrs,
  flops: elementFlops,
  evaluate: ([x], { dtype }, out) => {
    const data = x?.data ?? new Float64Array();
    return tensor(dtype, out.dims, dtype === "i32" ? data.map(Math.trunc) : dtype === "pred" ? data.map((v) => (v !== 0 ? 1 : 0)) : data);
  },
});

const select = defineOp({
  name: "select",
  arity: 3,
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
  factors: elementwiseFactors,
  linearIn: () => [[1, 2]],
  localize: sameAttrs,
  flops: elementFlops,
  evaluate: ([p, a, b], _, out) =>
    tensor(
      out.dtype,
      out.dims,
      (p?.data ?? new Float64Array()).map((v, i) => (v !== 0 ? a?.data[i] : b?.data[i]) ?? 0),
    ),
});

/** ½ where x = y, so that the gradient of a maximum of equals is shared evenly. */
const winner = (g: GraphBuilder, a: Value, b: Value, grad: Value, direction: "GT" | "LT"): readonly Value[] => {
  const [zero, half] = [g.splat(0, grad.type), g.multiply(grad, g.splat(0.5, grad.type))];
  const tie = g.select(g.compare(a, b, "EQ"), half, zero);
  const flip = direction === "GT" ? "LT" : "GT";
  return [g.add(g.select(g.compare(a, b, direction), grad, zero), tie), g.add(g.select(g.compare(a, b, flip), grad, zero), tie)];
};

export const elementwiseOps: { readonly [N in UnaryName | BinaryName | "compare" | "convert" | "select"]: OpDef<N> } = {
  negate: unary(
    "negate",
    (x) => -x,
    (g, _x, _y, grad) => g.negate(grad),
    true,
  ),
  exponential: unary("exponential", Math.exp, (g, _x, y, grad) => g.multiply(grad, y)),
  log: unary("log", Math.log, (g, x, _y, grad) => g.divide(grad, x)),
  tanh: unary("tanh", Math.tanh, (g, _x, y, grad) => g.multiply(grad, g.subtract(g.splat(1, y.type), g.multiply(y, y)))),
  sqrt: unary("sqrt", Math.sqrt, (g, _x, y, grad) => g.divide(g.multiply(grad, g.splat(0.5, y.type)), y)),
  rsqrt: unary(
    "rsqrt",
    (x) => 1 / Math.sqrt(x),
    (g, _x, y, grad) => g.multiply(grad, g.multiply(g.splat(-0.5, y.type), g.multiply(y, g.multiply(y, y)))),
  ),
  cosine: unary("cosine", Math.cos, (g, x, _y, grad) => g.negate(g.multiply(grad, g.sine(x)))),
  sine: unary("sine", Math.sin, (g, x, _y, grad) => g.multiply(grad, g.cosine(x))),
  abs: unary("abs", Math.abs, (g, x, _y, grad) => g.select(g.compare(x, g.splat(0, x.type), "GE"), grad, g.negate(grad))),
  stop_gradient: unary(
    "stop_gradient",
    (x) => x,
    () => undefined,
    true,
  ),
  convert,
  add: binary(
    "add",
    (a, b) => a + b,
    (_g, _a, _b, _y, grad) => [grad, grad],
    [[0, 1]],
  ),
  subtract: binary(
    "subtract",
    (a, b) => a - b,
    (g, _a, _b, _y, grad) => [grad, g.negate(grad)],
    [[0, 1]],
  ),
  multiply: binary(
    "multiply",
    (a, b) => a * b,
    (g, a, b, _y, grad) => [g.multiply(grad, b), g.multiply(grad, a)],
    [[0], [1]],
  ),
  divide: binary(
    "divide",
    (a, b) => a / b,
    (g, _a, b, y, grad) => [g.divide(grad, b), g.negate(g.divide(g.multiply(grad, y), b))],
    [[0]],
  ),
  maximum: binary("maximum", Math.max, (g, a, b, _y, grad) => winner(g, a, b, grad, "GT"), []),
  minimum: binary("minimum", Math.min, (g, a, b, _y, grad) => winner(g, a, b, grad, "LT"), []),
  and: binary(
    "and",
    (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
    () => [undefined, undefined],
    [],
  ),
  compare,
  select,
};

/** Names of the ops that work element by element on operands of equal dims. */
export const elementwiseNames: ReadonlySet<OpName> = new Set(Object.keys(elementwiseOps) as (keyof OpAttrs)[]);
