import { type GraphBuilder, tensorType, type Value } from "@lapidary/ir";
import { Unconvertible } from "./lowering.js";

/** Functions of floats that the IR does not have, composed of those that it has. The formulas are those of StableHLO's `chlo` and of XLA. */

type Unary = (b: GraphBuilder, x: Value) => Value;

const like = (b: GraphBuilder, x: Value, value: number): Value => b.splat(value, tensorType(x.type.dtype, x.type.dims));
const less = (b: GraphBuilder, x: Value, limit: number): Value => b.compare(x, like(b, x, limit), "LT");
const log1p: Unary = (b, x) => b.op("log_plus_one", [x], {});
const expm1: Unary = (b, x) => b.op("exponential_minus_one", [x], {});
const atan2 = (b: GraphBuilder, y: Value, x: Value): Value => b.op("atan2", [y, x], {});
const floor: Unary = (b, x) => b.op("floor", [x], {});
/** The sign of `from` on the absolute value `x`. */
const signed = (b: GraphBuilder, x: Value, from: Value): Value => b.select(less(b, from, 0), b.negate(x), x);
/** c₀ + c₁ x + c₂ x² … */
const polynomial = (b: GraphBuilder, x: Value, coefficients: readonly number[]): Value =>
  coefficients.slice(0, -1).reduceRight((sum, c) => b.offset(b.multiply(sum, x), c), like(b, x, coefficients.at(-1) ?? 0));

/** Computes in f32, as XLA does for narrower floats. */
const inF32 =
  (f: Unary): Unary =>
  (b, x) =>
    x.type.dtype === "bf16" ? b.convert(f(b, b.convert(x, "f32")), "bf16") : f(b, x);

const central = [
  1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-6, -3.5233877e-6, 3.43273939e-7, 2.81022636e-8,
];
const tail = [
  2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257,
];

/** M. Giles, Approximating the erfinv function, in single precision: two polynomials in w = −log(1 − x²). */
const erfInv: Unary = (b, x) => {
  const w = b.negate(log1p(b, b.negate(b.square(x))));
  const near = less(b, w, 5);
  const small = polynomial(b, b.offset(w, -2.5), central);
  const large = polynomial(b, b.offset(b.sqrt(b.maximum(w, like(b, w, 0))), -3), tail);
  const inner = b.multiply(b.select(near, small, large), x);
  const edge = b.compare(b.abs(x), like(b, x, 1), "EQ");
  return b.select(edge, b.multiply(x, like(b, x, Infinity)), inner);
};

/** To the nearest whole number; halves to the even one. */
const roundEven: Unary = (b, x) => {
  const whole = floor(b, x);
  const rest = b.subtract(x, whole);
  const isOdd = b.compare(b.subtract(whole, b.scale(floor(b, b.scale(whole, 0.5)), 2)), like(b, x, 0), "NE");
  const up = b.offset(whole, 1);
  const half = b.select(isOdd, up, whole);
  return b.select(less(b, rest, 0.5), whole, b.select(b.compare(rest, like(b, x, 0.5), "GT"), up, half));
};

/** To the nearest whole number; halves away from zero. */
const roundAway: Unary = (b, x) => {
  const size = b.abs(x);
  const whole = floor(b, size);
  return signed(b, b.select(less(b, b.subtract(size, whole), 0.5), whole, b.offset(whole, 1)), x);
};

/** exp(log|x| / 3), made exact by one step of Newton's method. */
const cbrt: Unary = (b, x) => {
  const size = b.abs(x);
  const isSpecial = b.compare(b.multiply(size, like(b, x, 0)), size, "EQ");
  const safe = b.select(isSpecial, like(b, x, 1), size);
  const y = b.exponential(b.scale(b.log(safe), 1 / 3));
  const better = b.subtract(y, b.scale(b.subtract(y, b.divide(safe, b.square(y))), 1 / 3));
  return signed(b, b.select(isSpecial, size, better), x);
};

/** e^x is divided by 2 before it overflows. */
const sinh: Unary = (b, x) => {
  const shifted = b.offset(x, -Math.LN2);
  const large = b.subtract(b.exponential(shifted), b.exponential(b.offset(b.negate(x), -Math.LN2)));
  const e = expm1(b, x);
  const small = b.scale(b.add(e, b.divide(e, b.offset(e, 1))), 0.5);
  return b.select(less(b, b.abs(x), 1), small, large);
};
const cosh: Unary = (b, x) => b.add(b.exponential(b.offset(x, -Math.LN2)), b.exponential(b.offset(b.negate(x), -Math.LN2)));

const lanczos = [
  676.520368121885098567009190444019, -1259.13921672240287047156078755283, 771.3234287776530788486528258894,
  -176.61502916214059906584551354, 12.507343278686904814458936853, -0.13857109526572011689554707, 9.984369578019570859563e-6,
  1.50563273514931155834e-7,
];
const base = 0.99999999999980993227684700473478;
const g = 7;

/** Lanczos' sum and its derivative at z. */
function lanczosSums(b: GraphBuilder, z: Value): { readonly sum: Value; readonly slope: Value } {
  let [sum, slope] = [like(b, z, base), like(b, z, 0)];
  lanczos.forEach((c, i) => {
    const d = b.offset(z, i + 1);
    sum = b.add(sum, b.divide(like(b, z, c), d));
    slope = b.subtract(slope, b.divide(like(b, z, c), b.square(d)));
  });
  return { sum, slope };
}

/** log|Γ(x)| by Lanczos' approximation, with the reflection formula below 1/2. */
const lgamma: Unary = (b, x) => {
  const reflects = less(b, x, 0.5);
  const z = b.select(reflects, b.negate(x), b.offset(x, -1));
  const { sum } = lanczosSums(b, z);
  const t = b.offset(z, g + 0.5);
  const logT = b.offset(log1p(b, b.scale(z, 1 / (g + 0.5))), Math.log(g + 0.5));
  const inner = b.add(
    b.offset(b.multiply(b.subtract(b.offset(z, 0.5), b.divide(t, logT)), logT), (Math.log(2) + Math.log(Math.PI)) / 2),
    b.log(sum),
  );
  const rest = b.subtract(b.abs(x), floor(b, b.abs(x)));
  const fraction = b.select(b.compare(rest, like(b, x, 0.5), "GT"), b.offset(b.negate(rest), 1), rest);
  const sine = b.log(b.sine(b.scale(fraction, Math.PI)));
  const isPole = b.compare(sine, like(b, x, -Infinity), "EQ");
  const reflected = b.select(isPole, b.negate(sine), b.subtract(b.offset(b.negate(sine), Math.log(Math.PI)), inner));
  return b.select(reflects, reflected, inner);
};

/** The derivative of log Γ. */
const digamma: Unary = (b, x) => {
  const reflects = less(b, x, 0.5);
  const z = b.select(reflects, b.negate(x), b.offset(x, -1));
  const { sum, slope } = lanczosSums(b, z);
  const t = b.offset(z, g + 0.5);
  const logT = b.offset(log1p(b, b.scale(z, 1 / (g + 0.5))), Math.log(g + 0.5));
  const inner = b.subtract(b.add(logT, b.divide(slope, sum)), b.divide(like(b, z, g), t));
  const whole = b.add(x, b.abs(floor(b, b.offset(x, 0.5))));
  const angle = b.scale(whole, Math.PI);
  const reflected = b.subtract(inner, b.divide(b.scale(b.cosine(angle), Math.PI), b.sine(angle)));
  const isPole = b.and(b.compare(x, like(b, x, 0), "LE"), b.compare(x, floor(b, x), "EQ"));
  return b.select(isPole, like(b, x, Number.NaN), b.select(reflects, reflected, inner));
};

const asinh: Unary = (b, x) => {
  const size = b.abs(x);
  const square = b.square(size);
  const sum = b.add(size, b.divide(square, b.offset(b.sqrt(b.offset(square, 1)), 1)));
  return signed(b, log1p(b, sum), x);
};

/** Functions of one float, by name without dialect. */
export const composedFunctions: Readonly<Record<string, Unary>> = {
  erf_inv: inF32(erfInv),
  round_nearest_even: roundEven,
  round_nearest_afz: roundAway,
  cbrt: inF32(cbrt),
  sinh: inF32(sinh),
  cosh: inF32(cosh),
  atan: inF32((b, x) => atan2(b, x, like(b, x, 1))),
  asin: inF32((b, x) => b.scale(atan2(b, x, b.offset(b.sqrt(b.multiply(b.offset(b.negate(x), 1), b.offset(x, 1))), 1)), 2)),
  acos: inF32((b, x) => b.scale(atan2(b, b.sqrt(b.multiply(b.offset(b.negate(x), 1), b.offset(x, 1))), b.offset(x, 1)), 2)),
  asinh: inF32(asinh),
  acosh: inF32((b, x) => b.log(b.add(x, b.multiply(b.sqrt(b.offset(x, 1)), b.sqrt(b.offset(x, -1)))))),
  atanh: inF32((b, x) => b.scale(b.subtract(log1p(b, x), log1p(b, b.negate(x))), 0.5)),
  lgamma: inF32(lgamma),
  digamma: inF32(digamma),
};

/** The next f32 after x in the direction of y, by the bits of x. */
export function nextAfter(b: GraphBuilder, x: Value, y: Value): Value {
  if (x.type.dtype !== "f32") throw new Unconvertible(`next_after of ${x.type.dtype} is not supported`);
  const bits = b.op("bitcast_convert", [x], { dtype: "i32" });
  const one = like(b, bits, 1);
  const isPositive = b.compare(x, like(b, x, 0), "GT");
  const grows = b.select(isPositive, b.compare(x, y, "LT"), b.compare(x, y, "GT"));
  const moved = b.op("bitcast_convert", [b.select(grows, b.add(bits, one), b.subtract(bits, one))], { dtype: "f32" });
  const tiny = signed(b, like(b, x, 1.401298464324817e-45), b.subtract(y, x));
  const isZero = b.compare(x, like(b, x, 0), "EQ");
  const isNan = b.compare(b.add(x, y), b.add(x, y), "NE");
  return b.select(isNan, b.add(x, y), b.select(b.compare(x, y, "EQ"), y, b.select(isZero, tiny, moved)));
}
