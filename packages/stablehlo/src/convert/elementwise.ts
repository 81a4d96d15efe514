import type { CompareDirection, Dtype, Value } from "@lapidary/ir";
import { comparisons, sizeOf, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { bodyOf, integer } from "./attribute-values.js";
import {
  dtypeOf,
  type Item,
  isFloatElement,
  isNarrow,
  isUnsigned,
  knownItem,
  maxKnownElements,
  stored,
  uniform,
  uniformOf,
  withMake,
} from "./item.js";
import { composedFunctions, nextAfter } from "./functions.js";
import { type Converter, type OpContext, Unconvertible } from "./lowering.js";
import {
  countBits,
  countLeadingZeros,
  divideUnsigned,
  flipTop,
  floatOfUnsigned,
  lessUnsigned,
  shiftRightLogical as shiftRightUnsigned,
  unsignedOfFloat,
} from "./unsigned.js";

type Formula = (...xs: readonly number[]) => number;
type Emit = (c: OpContext, xs: readonly Value[]) => Value;

interface Elementwise {
  /** The op on numbers, for operands that no input changes. */
  readonly fold?: (element: string) => Formula | undefined;
  readonly emit: Emit;
}

const simple = (fold: Formula | undefined, emit: Emit): Elementwise => ({ ...(fold === undefined ? {} : { fold: () => fold }), emit });
const n = (x: number | undefined): number => x ?? 0;
const int32 =
  (f: (a: number, b: number) => number): Formula =>
  (a, b) =>
    f(n(a), n(b));
const splat = (c: OpContext, like: Value, value: number, dtype: Dtype = like.type.dtype): Value =>
  c.b.splat(value, tensorType(dtype, like.type.dims));
const isPred = (x: Value | undefined): boolean => x?.type.dtype === "pred";
const first = (xs: readonly Value[]): Value => at(xs, 0);
const second = (xs: readonly Value[]): Value => at(xs, 1);

function at(xs: readonly Value[], i: number): Value {
  const x = xs[i];
  if (x === undefined) throw new Unconvertible(`operand ${i} is missing`);
  return x;
}

/** The truth values of pred operands: `not p`, `p or q`, `p xor q`, by `select`. */
const notPred = (c: OpContext, p: Value): Value => c.b.select(p, splat(c, p, 0), splat(c, p, 1));
const orPred = (c: OpContext, p: Value, q: Value): Value => c.b.select(p, splat(c, p, 1), q);
const xorPred = (c: OpContext, p: Value, q: Value): Value => c.b.select(p, notPred(c, q), q);

const arithmetic = (op: "add" | "subtract" | "multiply" | "maximum" | "minimum" | "divide"): Elementwise => ({
  fold: (element) => foldArithmetic(op, element),
  emit: (c, xs) => {
    const [a, b] = [first(xs), second(xs)];
    if (isPred(a)) {
      if (op === "add" || op === "maximum") return orPred(c, a, b);
      if (op === "multiply" || op === "minimum") return c.b.and(a, b);
      throw new Unconvertible("it has operands of type i1");
    }
    const unsigned = isUnsigned(c.arg(0).element);
    if (unsigned && (op === "maximum" || op === "minimum")) {
      const isLess = lessUnsigned(c.b, a, b);
      return op === "maximum" ? c.b.select(isLess, b, a) : c.b.select(isLess, a, b);
    }
    if (unsigned && op === "divide") return divideUnsigned(c.b, a, b).quotient;
    return c.b[op](a, b);
  },
});

function foldArithmetic(op: string, element: string): Formula | undefined {
  const integers = !isFloatElement(element);
  switch (op) {
    case "add":
      return (a, b) => n(a) + n(b);
    case "subtract":
      return (a, b) => n(a) - n(b);
    case "multiply":
      return integers && /32$/.test(element) ? int32(Math.imul) : (a, b) => n(a) * n(b);
    case "divide":
      return integers ? (a, b) => (n(b) === 0 ? -1 : Math.trunc(n(a) / n(b))) : (a, b) => n(a) / n(b);
    case "maximum":
      return (a, b) => Math.max(n(a), n(b));
    default:
      return (a, b) => Math.min(n(a), n(b));
  }
}

const directionOf = (c: OpContext): CompareDirection => {
  const direction = bodyOf(c.op.attributes.get("comparison_direction"));
  if (!Object.hasOwn(comparisons, direction)) throw new Unconvertible(`"${direction}" is not a direction of a comparison`);
  return direction as CompareDirection;
};

const compare: Converter = (c) => {
  const direction = directionOf(c);
  const test = comparisons[direction];
  const folded = foldItems(c, (a, b) => (test(n(a), n(b)) ? 1 : 0));
  const make = (): Value => compareValues(c, direction);
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

function compareValues(c: OpContext, direction: CompareDirection): Value {
  let [a, b] = [c.value(0), c.value(1)];
  if (isPred(a)) [a, b] = [c.b.convert(a, "i32"), c.b.convert(b, "i32")];
  if (isUnsigned(c.arg(0).element) && direction !== "EQ" && direction !== "NE") [a, b] = [flipTop(c.b, a), flipTop(c.b, b)];
  if (/TOTALORDER/.test(bodyOf(c.op.attributes.get("compare_type")))) return compareInOrder(c, a, b, direction);
  return c.b.compare(a, b, direction);
}

/** The order of sorts: NaN come after all numbers, and are equal. Zeros of both signs are equal. */
function compareInOrder(c: OpContext, a: Value, b: Value, direction: CompareDirection): Value {
  const isNan = (x: Value): Value => c.b.compare(x, x, "NE");
  const less = (x: Value, y: Value): Value => orPred(c, c.b.compare(x, y, "LT"), c.b.and(isNan(y), notPred(c, isNan(x))));
  switch (direction) {
    case "LT":
      return less(a, b);
    case "GT":
      return less(b, a);
    case "LE":
      return notPred(c, less(b, a));
    case "GE":
      return notPred(c, less(a, b));
    case "EQ":
      return notPred(c, orPred(c, less(a, b), less(b, a)));
    case "NE":
      return orPred(c, less(a, b), less(b, a));
  }
}

/** Operands of `select` and `clamp` may be scalars that stand for every element. */
function broadcastTo(c: OpContext, item: Item, dims: readonly number[]): Item {
  if (item.dims.length > 0 || dims.length === 0) return item;
  if (item.kind === "known" && item.known.kind === "uniform") return uniform({ element: item.element, dims }, item.known.value);
  return c.low.item(item.element, c.b.broadcastInDim(c.low.value(item), dims, []));
}

const select: Converter = (c) => {
  const { dims } = c.result();
  const p = broadcastTo(c, c.arg(0), dims);
  if (p.kind === "known" && p.known.kind === "uniform") return c.results(p.known.value === 0 ? c.arg(2) : c.arg(1));
  const folded = foldItems(c, (test, a, b) => (test === 0 ? n(b) : n(a)));
  const make = (): Value => c.b.select(c.low.value(p), c.value(1), c.value(2));
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

const clamp: Converter = (c) => {
  const { dims } = c.result();
  const [low, x, high] = [0, 1, 2].map((i) => c.low.value(broadcastTo(c, c.arg(i), dims)));
  if (low === undefined || x === undefined || high === undefined) throw new Unconvertible("it needs three operands");
  if (isUnsigned(c.arg(1).element)) {
    const raised = c.b.select(lessUnsigned(c.b, x, low), low, x);
    return c.results(c.b.select(lessUnsigned(c.b, high, raised), high, raised));
  }
  return c.results(c.b.minimum(c.b.maximum(x, low), high));
};

const convert: Converter = (c) => {
  const [from, to] = [c.arg(0), c.result()];
  const whole = (x: number): number => (isFloatElement(to.element) || to.element === "i1" ? x : Math.trunc(x));
  const folded = foldItems(c, (x) => whole(n(x)));
  const make = (): Value => convertValue(c, from.element, to.element);
  return c.results(folded === undefined ? make() : withMake(folded, make));
};

function convertValue(c: OpContext, from: string, to: string): Value {
  const dtype = dtypeOf(to);
  if (dtype === undefined || dtypeOf(from) === undefined) throw new Unconvertible(`a conversion from ${from} to ${to} is not supported`);
  const x = c.value(0);
  if (from === "ui32" && isFloatElement(to)) return c.b.convert(floatOfUnsigned(c.b, x), dtype);
  if (to === "ui32" && isFloatElement(from)) return unsignedOfFloat(c.b, c.b.convert(x, "f32"));
  if (dtype === "pred" && x.type.dtype !== "pred") return c.b.compare(x, splat(c, x, 0), "NE");
  return unrounded(c, x, to) ?? c.b.convert(x, dtype);
}

/**
 * The f32 value that is converted to bf16 and back, without the rounding, as XLA computes it (`xla_allow_excess_precision`, on by default). So
 * partial sums of several gradients are added before they are reduced. Other turns of a loop and other passes read the rounded value.
 */
function unrounded({ b }: OpContext, x: Value, to: string): Value | undefined {
  const wide = x.op === "convert" && x.type.dtype === "bf16" && to === "f32" ? b.get(ensure(x.inputs[0], "operand")) : undefined;
  const { block, phase, region } = b.scopeNow;
  const isHere = block === x.scope.block && phase === x.scope.phase && region?.id === x.scope.region?.id;
  return wide?.type.dtype === "f32" && isHere ? wide : undefined;
}

const reducePrecision: Converter = (c) => {
  const [exponent, mantissa] = [integer(c.op, "exponent_bits"), integer(c.op, "mantissa_bits")];
  if (exponent === 8 && mantissa === 23) return c.results(c.arg(0));
  if (exponent !== 8 || mantissa !== 7) throw new Unconvertible(`the format e${exponent}m${mantissa} is not supported`);
  const x = c.value(0);
  return c.results(c.b.convert(c.b.convert(x, "bf16"), x.type.dtype));
};

/** The result of an elementwise op on operands that no input changes; undefined if an input changes one, or if the array is too large. */
function foldItems(c: OpContext, formula: Formula): Item | undefined {
  const type = c.result();
  if (c.args.length === 0 || c.args.some((item) => item.kind !== "known")) return undefined;
  const scalarLike = c.args.every((item) => item.kind === "known" && item.known.kind === "uniform");
  const numbers = (item: Item): ((i: number) => number) => {
    if (item.kind !== "known") return () => 0;
    if (item.known.kind === "uniform") {
      const { value } = item.known;
      return () => value;
    }
    const { data } = item.known;
    return data.length === 1 ? () => n(data[0]) : (i) => n(data[i]);
  };
  const readers = c.args.map(numbers);
  const compute = (i: number): number | undefined => stored(type.element, formula(...readers.map((read) => read(i))));
  if (scalarLike) {
    const value = compute(0);
    return value === undefined ? undefined : uniform(type, value);
  }
  const size = sizeOf(type.dims);
  if (size > maxKnownElements) return undefined;
  const data = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const value = compute(i);
    if (value === undefined) return undefined;
    data[i] = value;
  }
  return knownItem(type, data);
}

const unary = (fold: Formula, op: "negate" | "exponential" | "log" | "tanh" | "sqrt" | "rsqrt" | "cosine" | "sine" | "abs"): Elementwise =>
  simple(fold, (c, xs) => c.b[op](first(xs)));

/** erfc is 1 − erf; the numbers of JAX need its tail only for GELU, whose argument is near 0. */
const table: Readonly<Record<string, Elementwise>> = {
  add: arithmetic("add"),
  subtract: arithmetic("subtract"),
  multiply: arithmetic("multiply"),
  divide: arithmetic("divide"),
  maximum: arithmetic("maximum"),
  minimum: arithmetic("minimum"),
  negate: unary((x) => -n(x), "negate"),
  exponential: unary((x) => Math.exp(n(x)), "exponential"),
  log: unary((x) => Math.log(n(x)), "log"),
  tanh: unary((x) => Math.tanh(n(x)), "tanh"),
  sqrt: unary((x) => Math.sqrt(n(x)), "sqrt"),
  rsqrt: unary((x) => 1 / Math.sqrt(n(x)), "rsqrt"),
  cosine: unary((x) => Math.cos(n(x)), "cosine"),
  sine: unary((x) => Math.sin(n(x)), "sine"),
  abs: unary((x) => Math.abs(n(x)), "abs"),
  tan: simple(
    (x) => Math.tan(n(x)),
    (c, xs) => c.b.divide(c.b.sine(first(xs)), c.b.cosine(first(xs))),
  ),
  logistic: simple(
    (x) => 1 / (1 + Math.exp(-n(x))),
    (c, xs) => c.b.divide(splat(c, first(xs), 1), c.b.offset(c.b.exponential(c.b.negate(first(xs))), 1)),
  ),
  square: simple(
    (x) => n(x) * n(x),
    (c, xs) => c.b.square(first(xs)),
  ),
  is_finite: simple(
    (x) => Number(Number.isFinite(x)),
    (c, xs) => c.b.compare(c.b.abs(first(xs)), splat(c, first(xs), Infinity), "LT"),
  ),
  is_inf: simple(
    (x) => Number(Math.abs(n(x)) === Infinity),
    (c, xs) => c.b.compare(c.b.abs(first(xs)), splat(c, first(xs), Infinity), "EQ"),
  ),
  sign: simple(
    (x) => Math.sign(n(x)),
    (c, xs) => {
      const x = first(xs);
      if (isUnsigned(c.arg(0).element)) return c.b.select(c.b.compare(x, splat(c, x, 0), "NE"), splat(c, x, 1), x);
      const negative = c.b.select(c.b.compare(x, splat(c, x, 0), "LT"), splat(c, x, -1), x);
      return c.b.select(c.b.compare(x, splat(c, x, 0), "GT"), splat(c, x, 1), negative);
    },
  ),
  power: simple(
    (x, y) => n(x) ** n(y),
    (c, xs) => (c.args[1]?.kind === "known" ? wholePower(c, first(xs)) : undefined) ?? c.b.op("power", [first(xs), second(xs)], {}),
  ),
  remainder: simple(
    (a, b) => n(a) % n(b),
    (c, xs) =>
      isUnsigned(c.arg(0).element)
        ? divideUnsigned(c.b, first(xs), second(xs)).remainder
        : c.b.op("remainder", [first(xs), second(xs)], {}),
  ),
  next_after: simple(undefined, (c, xs) => nextAfter(c.b, first(xs), second(xs))),
  popcnt: simple(undefined, (c, xs) => countBits(c.b, first(xs))),
  count_leading_zeros: simple(undefined, (c, xs) => countLeadingZeros(c.b, first(xs))),
  atan2: simple(
    (a, b) => Math.atan2(n(a), n(b)),
    (c, xs) => c.b.op("atan2", [first(xs), second(xs)], {}),
  ),
  log_plus_one: simple(
    (x) => Math.log1p(n(x)),
    (c, xs) => c.b.op("log_plus_one", [first(xs)], {}),
  ),
  exponential_minus_one: simple(
    (x) => Math.expm1(n(x)),
    (c, xs) => c.b.op("exponential_minus_one", [first(xs)], {}),
  ),
  floor: simple(
    (x) => Math.floor(n(x)),
    (c, xs) => c.b.op("floor", [first(xs)], {}),
  ),
  ceil: simple(
    (x) => Math.ceil(n(x)),
    (c, xs) => c.b.negate(c.b.op("floor", [c.b.negate(first(xs))], {})),
  ),
  erf: simple(undefined, (c, xs) => c.b.op("erf", [first(xs)], {})),
  erfc: simple(undefined, (c, xs) => c.b.op("erfc", [first(xs)], {})),
  not: {
    fold: (element) => (element === "i1" ? (x) => 1 - n(x) : /64$/.test(element) ? undefined : (x) => ~n(x)),
    emit: (c, xs) => (isPred(first(xs)) ? notPred(c, first(xs)) : c.b.op("bitwise_xor", [first(xs), splat(c, first(xs), -1)], {})),
  },
  and: {
    fold: foldBits((a, b) => a & b),
    emit: (c, xs) => (isPred(first(xs)) ? c.b.and(first(xs), second(xs)) : c.b.op("bitwise_and", xs, {})),
  },
  or: {
    fold: foldBits((a, b) => a | b),
    emit: (c, xs) => (isPred(first(xs)) ? orPred(c, first(xs), second(xs)) : c.b.op("bitwise_or", xs, {})),
  },
  xor: {
    fold: foldBits((a, b) => a ^ b),
    emit: (c, xs) => (isPred(first(xs)) ? xorPred(c, first(xs), second(xs)) : c.b.op("bitwise_xor", xs, {})),
  },
  shift_left: { fold: foldBits((a, s) => (s >>> 0 > 31 ? 0 : a << s)), emit: (c, xs) => c.b.op("shift_left", xs, {}) },
  shift_right_logical: { fold: foldShiftRight, emit: shiftRightLogical },
  shift_right_arithmetic: {
    fold: foldBits((a, s) => a >> (s >>> 0 > 31 ? 31 : s)),
    emit: (c, xs) => c.b.op("shift_right_arithmetic", xs, {}),
  },
};

/** `x^n` for a known whole n, by squaring. Other powers need the op. */
function wholePower(c: OpContext, x: Value): Value | undefined {
  const exponent = c.arg(1);
  const power = exponent.kind === "known" && exponent.known.kind === "uniform" ? exponent.known.value : undefined;
  if (power === undefined || !Number.isInteger(power) || Math.abs(power) > 64) return undefined;
  let [result, square, rest]: [Value | undefined, Value, number] = [undefined, x, Math.abs(power)];
  for (; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = result === undefined ? square : c.b.multiply(result, square);
    if (rest > 1) square = c.b.square(square);
  }
  const whole = result ?? splat(c, x, 1);
  return power < 0 ? c.b.divide(splat(c, x, 1), whole) : whole;
}

/** Bitwise ops of up to 32 bits on numbers. */
function foldBits(f: (a: number, b: number) => number): (element: string) => Formula | undefined {
  return (element) => (/64$/.test(element) ? undefined : int32((a, b) => f(a | 0, b | 0)));
}

/** A logical shift. The counters of threefry are 64 bits wide, and are shifted right by 32 bits. */
function foldShiftRight(element: string): Formula | undefined {
  if (element === "ui64") return (a, s) => Math.floor(n(a) / 2 ** n(s));
  return /64$/.test(element) ? undefined : int32((a, s) => (s > 31 ? 0 : a >>> s));
}

/** The arithmetic shift without the copies of the sign. */
function shiftRightLogical(c: OpContext, xs: readonly Value[]): Value {
  const amount = uniformOf(c.arg(1));
  const x = first(xs);
  if (amount === undefined) return shiftRightUnsigned(c.b, x, second(xs));
  if (amount === 0) return x;
  if (amount > 31) return splat(c, x, 0);
  return c.b.op("bitwise_and", [c.b.op("shift_right_arithmetic", xs, {}), splat(c, x, 2 ** (32 - amount) - 1)], {});
}

const bitcastConvert: Converter = (c) => {
  const [from, to] = [c.arg(0), c.result()];
  if (from.dims.length !== to.dims.length) throw new Unconvertible("a bitcast between types of different width is not supported");
  const dtype = dtypeOf(to.element);
  const x = c.value(0);
  if (dtype === undefined || !["f32", "i32"].includes(dtype) || !["f32", "i32"].includes(x.type.dtype))
    throw new Unconvertible(`a bitcast from ${from.element} to ${to.element} is not supported`);
  return c.results(x.type.dtype === dtype ? x : c.b.op("bitcast_convert", [x], { dtype }));
};

/** Operations on the bits of a narrow integer, which the graph has as i32. */
const bitwise = /\.(?:shift_right_logical|popcnt|count_leading_zeros)$/;

const elementwise =
  ({ fold, emit }: Elementwise): Converter =>
  (c) => {
    const formula = fold?.(c.arg(0).element);
    const folded = formula === undefined ? undefined : foldItems(c, formula);
    const make = (): Value => {
      if (isNarrow(c.result().element) && bitwise.test(c.op.name)) throw new Unconvertible(`it is not supported for ${c.result().element}`);
      for (const item of c.args)
        if (dtypeOf(item.element) === undefined) throw new Unconvertible(`operands of type ${item.element} are not supported`);
      return emit(
        c,
        c.args.map((item) => c.low.value(item)),
      );
    };
    return c.results(folded === undefined ? make() : withMake(folded, make));
  };

/** Converters of elementwise operations, by name without dialect. */
export const elementwiseConverters: Readonly<Record<string, Converter>> = {
  ...Object.fromEntries(Object.entries(table).map(([name, entry]) => [name, elementwise(entry)])),
  ...Object.fromEntries(
    Object.entries(composedFunctions).map(([name, f]) => [name, elementwise(simple(undefined, (c, xs) => f(c.b, first(xs))))]),
  ),
  compare,
  select,
  clamp,
  convert,
  reduce_precision: reducePrecision,
  bitcast_convert: bitcastConvert,
};
