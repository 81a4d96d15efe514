import {
  binaryNames,
  binaryOps,
  type Dtype,
  type ElementwiseName,
  isFloat,
  type OpName,
  tableOf,
  type TensorType,
  unaryNames,
  unaryOps,
} from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { mlirType, signature } from "./mlir.js";
import type { OpPrinters, PrintContext } from "./op-printer.js";

/** An op whose operands and result have one type, by its name in StableHLO. */
const printer =
  (name: string) =>
  <N extends OpName>({ names, value }: PrintContext<N>): string =>
    `stablehlo.${name} ${names.join(", ")} : ${mlirType(value.type)}`;

const chlo =
  (name: string) =>
  <N extends OpName>({ names, value }: PrintContext<N>): string =>
    `chlo.${name} ${names.join(", ")} : ${mlirType(value.type)} -> ${mlirType(value.type)}`;

const compareKind = (dtype: Dtype): string => (isFloat(dtype) ? "FLOAT" : dtype === "i32" ? "SIGNED" : "UNSIGNED");

const typesOf = (inputs: readonly { readonly type: TensorType }[]): TensorType[] => inputs.map(({ type }) => type);

export const elementwisePrinters: OpPrinters<ElementwiseName> = {
  ...tableOf(unaryNames, (name) => printer(unaryOps[name].stablehlo)),
  ...tableOf(binaryNames, (name) => printer(binaryOps[name].stablehlo)),
  // The gradients are already in the graph.
  stop_gradient: ({ names }) => ({ sameAs: ensure(names[0], "operand") }),
  convert: ({ names: [x], inputs, value }) => `stablehlo.convert ${x} : ${signature(typesOf(inputs), value.type)}`,
  // StableHLO has no error function. JAX writes the operation of the dialect chlo, too.
  erf: chlo("erf"),
  erfc: chlo("erfc"),
  and: printer("and"),
  power: printer("power"),
  remainder: printer("remainder"),
  atan2: printer("atan2"),
  bitwise_and: printer("and"),
  bitwise_or: printer("or"),
  bitwise_xor: printer("xor"),
  shift_left: printer("shift_left"),
  shift_right_arithmetic: printer("shift_right_arithmetic"),
  bitcast_convert: ({ names: [x], inputs, value }) => `stablehlo.bitcast_convert ${x} : ${signature(typesOf(inputs), value.type)}`,
  compare: ({ names: [a, b], inputs, value, attrs }) =>
    `stablehlo.compare ${attrs.direction}, ${a}, ${b}, ${compareKind(ensure(inputs[0], "operand").type.dtype)} : ${signature(typesOf(inputs), value.type)}`,
  select: ({ names: [p, a, b], inputs, value }) =>
    `stablehlo.select ${p}, ${a}, ${b} : ${mlirType(ensure(inputs[0], "predicate").type)}, ${mlirType(value.type)}`,
};
