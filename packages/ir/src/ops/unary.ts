import type { Empty } from "../attrs.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";
import { erf, erfc } from "../special-functions.js";
import { type UnaryDef, anywhere, unaryFormula } from "./formula.js";

/** Attributes of the ops with one float operand. */
export interface UnaryAttrs {
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

export type UnaryName = keyof UnaryAttrs;

/** The ops with one float operand. */
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
