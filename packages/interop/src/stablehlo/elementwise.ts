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

const compareKind = (dtype: Dtype): string => (isFloat(dtype) ? "FLOAT" : dtype === "i32" ? "SIGNED" : "UNSIGNED");

const typesOf = (inputs: readonly { readonly type: TensorType }[]): TensorType[] => inputs.map(({ type }) => type);

export const elementwisePrinters: OpPrinters<ElementwiseName> = {
  ...tableOf(unaryNames, (name) => printer(unaryOps[name].stablehlo)),
  ...tableOf(binaryNames, (name) => printer(binaryOps[name].stablehlo)),
  // The gradients are already in the graph.
  stop_gradient: ({ names }) => ({ sameAs: ensure(names[0], "operand") }),
  convert: ({ names: [x], inputs, value }) => `stablehlo.convert ${x} : ${signature(typesOf(inputs), value.type)}`,
  and: printer("and"),
  compare: ({ names: [a, b], inputs, value, attrs }) =>
    `stablehlo.compare ${attrs.direction}, ${a}, ${b}, ${compareKind(ensure(inputs[0], "operand").type.dtype)} : ${signature(typesOf(inputs), value.type)}`,
  select: ({ names: [p, a, b], inputs, value }) =>
    `stablehlo.select ${p}, ${a}, ${b} : ${mlirType(ensure(inputs[0], "predicate").type)}, ${mlirType(value.type)}`,
};
