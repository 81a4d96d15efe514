import type { Empty } from "../attrs.js";
import type { GradientBuilder } from "../gradient-builder.js";
import type { Value } from "../graph.js";
import { type BinaryDef, anywhere, binaryFormula } from "./formula.js";

/** Attributes of the ops with two operands of one type that is not pred. */
export interface BinaryAttrs {
  add: Empty;
  subtract: Empty;
  multiply: Empty;
  divide: Empty;
  maximum: Empty;
  minimum: Empty;
}

export type BinaryName = keyof BinaryAttrs;

/** The gradient goes to the operand that the op selects, and half of it to each of two equal operands. */
const gradientOfSelected = (g: GradientBuilder, a: Value, b: Value, grad: Value, direction: "GT" | "LT"): readonly Value[] => {
  const [zero, half] = [g.splat(0, grad.type), g.multiply(grad, g.splat(0.5, grad.type))];
  const tie = g.select(g.compare(a, b, "EQ"), half, zero);
  const flip = direction === "GT" ? "LT" : "GT";
  return [g.add(g.select(g.compare(a, b, direction), grad, zero), tie), g.add(g.select(g.compare(a, b, flip), grad, zero), tie)];
};

/** The ops with two operands of one type that is not pred. */
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
