import { type Dtype, isFloat, type TensorType } from "@lapidary/ir";
import { must } from "@lapidary/std";
import { mlirType, signature } from "./mlir.js";
import type { OpPrinter, OpPrinters } from "./op-printer.js";

type UnaryName = "negate" | "exponential" | "log" | "tanh" | "sqrt" | "rsqrt" | "cosine" | "sine" | "abs";
type BinaryName = "add" | "subtract" | "multiply" | "divide" | "maximum" | "minimum" | "and";
type ElementwiseName = UnaryName | BinaryName | "stop_gradient" | "convert" | "compare" | "select";

const unary =
  <N extends UnaryName>(name: N): OpPrinter<N> =>
  ({ names: [x], value }) =>
    `stablehlo.${name} ${x} : ${mlirType(value.type)}`;

const binary =
  <N extends BinaryName>(name: N): OpPrinter<N> =>
  ({ names: [a, b], value }) =>
    `stablehlo.${name} ${a}, ${b} : ${mlirType(value.type)}`;

const compareKind = (dtype: Dtype): string => (isFloat(dtype) ? "FLOAT" : dtype === "i32" ? "SIGNED" : "UNSIGNED");

const typesOf = (inputs: readonly { readonly type: TensorType }[]): TensorType[] => inputs.map(({ type }) => type);

export const elementwisePrinters: OpPrinters<ElementwiseName> = {
  negate: unary("negate"),
  exponential: unary("exponential"),
  log: unary("log"),
  tanh: unary("tanh"),
  sqrt: unary("sqrt"),
  rsqrt: unary("rsqrt"),
  cosine: unary("cosine"),
  sine: unary("sine"),
  abs: unary("abs"),
  // The gradients are already in the graph.
  stop_gradient: ({ names }) => ({ sameAs: must(names[0], "operand") }),
  convert: ({ names: [x], inputs, value }) => `stablehlo.convert ${x} : ${signature(typesOf(inputs), value.type)}`,
  add: binary("add"),
  subtract: binary("subtract"),
  multiply: binary("multiply"),
  divide: binary("divide"),
  maximum: binary("maximum"),
  minimum: binary("minimum"),
  and: binary("and"),
  compare: ({ names: [a, b], inputs, value, attrs }) =>
    `stablehlo.compare ${attrs.direction}, ${a}, ${b}, ${compareKind(must(inputs[0], "operand").type.dtype)} : ${signature(typesOf(inputs), value.type)}`,
  select: ({ names: [p, a, b], inputs, value }) =>
    `stablehlo.select ${p}, ${a}, ${b} : ${mlirType(must(inputs[0], "predicate").type)}, ${mlirType(value.type)}`,
};
