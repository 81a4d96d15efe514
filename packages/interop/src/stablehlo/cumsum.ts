import type { OpAttrs, TensorType } from "@lapidary/ir";
import { intList, signature } from "./mlir.js";
import { combiner } from "./contraction.js";
import type { OpPrinters } from "./op-printer.js";
import type { Writer } from "./writer.js";

export const cumsumPrinters: OpPrinters<"constrain" | "cumsum"> = {
  // The global module writes the sharding constraint of the value. Programs of chips have none.
  constrain: ({ names: [x = ""] }) => ({ sameAs: x }),
  // As JAX writes it for TPUs: each window ends at its element, or begins there.
  cumsum: ({ writer, names: [x = ""], attrs, value }) => cumsum(writer, x, value.type, attrs),
};

/** Running sums of a value of this type. */
export function cumsum(writer: Writer, x: string, type: TensorType, { dimension, reverse }: OpAttrs["cumsum"]): string {
  const { dtype, dims } = type;
  const whole = (dims[dimension] ?? 1) - 1;
  const padding = dims.map((_, d) => intList(d === dimension ? (reverse ? [0, whole] : [whole, 0]) : [0, 0]));
  const ones = dims.map(() => 1).join(", ");
  const window = dims.map((size, d) => (d === dimension ? size : 1)).join(", ");
  const attributes = [
    `base_dilations = array<i64: ${ones}>`,
    `padding = dense<[${padding.join(", ")}]> : tensor<${dims.length}x2xi64>`,
    `window_dilations = array<i64: ${ones}>`,
    `window_dimensions = array<i64: ${window}>`,
    `window_strides = array<i64: ${ones}>`,
  ].join(", ");
  return `"stablehlo.reduce_window"(${x}, ${writer.scalar(0, dtype)}) <{${attributes}}> ${combiner("sum", dtype)} : ${signature([type, { dtype, dims: [] }], type)}`;
}
