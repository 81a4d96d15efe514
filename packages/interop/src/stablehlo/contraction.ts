import { type Dtype, type OpAttrs, type ReductionKind, type TensorType, tensorType, type Value } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { intList, mlirType, neutral, signature } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";
import type { Writer } from "./writer.js";

const combiners: Readonly<Record<ReductionKind, string>> = { sum: "add", max: "maximum", min: "minimum" };

/** The region that combines two elements. */
export function combiner(kind: ReductionKind, dtype: Dtype): string {
  const type = mlirType(tensorType(dtype, []));
  return `({\n  ^bb0(%a: ${type}, %b: ${type}):\n    %c = stablehlo.${combiners[kind]} %a, %b : ${type}\n    stablehlo.return %c : ${type}\n})`;
}

const operandType = (inputs: readonly Value[], at: number): TensorType => ensure(inputs[at], "operand").type;

export const contractionPrinters: OpPrinters<"reduce" | "dot_general"> = {
  reduce: ({ writer, names: [x], inputs, value, attrs: { dims, kind } }) => {
    const { dtype } = value.type;
    const types = signature([operandType(inputs, 0), tensorType(dtype, [])], value.type);
    return `stablehlo.reduce(${x} init: ${writer.scalar(neutral(kind, dtype), dtype)}) applies stablehlo.${combiners[kind]} across dimensions = ${intList(dims)} : ${types}`;
  },
  dot_general: ({ writer, names: [a = "", b = ""], inputs, value, attrs }) =>
    dotGeneral(writer, [a, b], [operandType(inputs, 0), operandType(inputs, 1)], value.type, attrs),
};

/** A matmul of two values of these types. */
export function dotGeneral(
  writer: Writer,
  [a, b]: readonly [string, string],
  types: readonly [TensorType, TensorType],
  result: TensorType,
  { batch, contracting }: OpAttrs["dot_general"],
): string {
  const pairs = (list: readonly (readonly [number, number])[]): string =>
    `${intList(list.map(([l]) => l))} x ${intList(list.map(([, r]) => r))}`;
  const precision = writer.options.numerics === "mxu" ? "DEFAULT" : "HIGHEST";
  const batching = batch.length === 0 ? "" : `batching_dims = ${pairs(batch)}, `;
  return `stablehlo.dot_general ${a}, ${b}, ${batching}contracting_dims = ${pairs(contracting)}, precision = [${precision}, ${precision}] : ${signature(types, result)}`;
}
