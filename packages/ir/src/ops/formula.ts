import type { OpName } from "../attrs.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";
import { type OpDef, type OpTraits, type Preserved, defineOp, elementwiseFactors, linearInFirst, notLinear, sameAttrs } from "../op.js";
import { ShapeError } from "../shape-error.js";
import { tensor } from "../tensor.js";
import { type TensorType, isFloat, sameType, sizeOf } from "../types.js";

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
export type UnaryDef<N extends OpName> = OpDef<N> & FormulaDef<Interval>;
export type BinaryDef<N extends OpName> = OpDef<N> & FormulaDef<readonly [left: Interval, right: Interval]>;

/** The domain of ops that are defined everywhere. */
export const anywhere: Interval = [-2, 2];

/** The common fields of all elementwise ops. */
export const elementwise = {
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

/** An op with one operand, evaluated by a formula on each element. */
export function unary<N extends OpName>({ name, integers, linear, formula, gradient, ...traits }: Unary<N>): OpDef<N> {
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

export type Binary<N extends OpName> = Pick<OpTraits, "transcendental" | "rounds" | "fusible"> &
  Pick<OpDef<N>, "name"> & {
    readonly preserves: readonly Preserved[];
    /** Sets of operands in which the op is jointly linear. */
    readonly linearIn: readonly (readonly number[])[];
    readonly formula: (a: number, b: number) => number;
    readonly gradient: (g: GradientBuilder, a: Value, b: Value, y: Value, grad: Value) => readonly (Value | undefined)[];
  };

/**
 * An op with two operands of one type, evaluated by a formula on each pair of elements.
 *
 * @param ofPred whether the operands are pred, or of any other type
 */
export function binary<N extends OpName>({ name, linearIn, formula, gradient, ...traits }: Binary<N>, ofPred = false): OpDef<N> {
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

/** A one-operand op that printers, test cases and random graphs are made from. */
export const unaryFormula = <N extends OpName>(def: Omit<Unary<N>, "fusible"> & FormulaDef<Interval>): UnaryDef<N> => {
  const { stablehlo, domain, smooth, ...op } = def;
  return { ...unary<N>({ ...op, fusible: "unary" } as Unary<N>), stablehlo, domain, smooth };
};

/** A two-operand op that printers, test cases and random graphs are made from. */
export const binaryFormula = <N extends OpName>(
  def: Omit<Binary<N>, "fusible"> & Pick<BinaryDef<N>, "stablehlo" | "domain" | "smooth">,
): BinaryDef<N> => {
  const { stablehlo, domain, smooth, ...op } = def;
  return { ...binary<N>({ ...op, fusible: "binary" } as Binary<N>), stablehlo, domain, smooth };
};
