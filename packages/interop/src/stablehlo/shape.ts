import { must } from "@lapidary/std";
import { intList, mlirType, signature } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";

type ShapeName = "broadcast_in_dim" | "reshape" | "transpose" | "slice" | "pad" | "concatenate";

export const shapePrinters: OpPrinters<ShapeName> = {
  broadcast_in_dim: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.broadcast_in_dim ${x}, dims = ${intList(attrs.broadcastDimensions)} : ${signature([must(inputs[0], "operand").type], value.type)}`,
  reshape: ({ names: [x], inputs, value }) => `stablehlo.reshape ${x} : ${signature([must(inputs[0], "operand").type], value.type)}`,
  transpose: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.transpose ${x}, dims = ${intList(attrs.permutation)} : ${signature([must(inputs[0], "operand").type], value.type)}`,
  slice: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.slice ${x} [${attrs.start.map((from, d) => `${from}:${attrs.limit[d] ?? 0}`).join(", ")}] : ${signature([must(inputs[0], "operand").type], value.type)}`,
  pad: ({ writer, names: [x], inputs, value, attrs }) => {
    const { dtype } = value.type;
    const interior = intList(attrs.low.map(() => 0));
    return `stablehlo.pad ${x}, ${writer.scalar(0, dtype)}, low = ${intList(attrs.low)}, high = ${intList(attrs.high)}, interior = ${interior} : ${signature([must(inputs[0], "operand").type, { dtype, dims: [] }], value.type)}`;
  },
  concatenate: ({ names, inputs, value, attrs }) =>
    `stablehlo.concatenate ${names.join(", ")}, dim = ${attrs.dimension} : ${signature(
      inputs.map(({ type }) => type),
      value.type,
    )}`,
};

/** Broadcasts a scalar to an array of `dims`. */
export const splat = (scalar: string, dtype: "f32" | "bf16" | "i32" | "pred", dims: readonly number[]): string =>
  `stablehlo.broadcast_in_dim ${scalar}, dims = [] : (${mlirType({ dtype, dims: [] })}) -> ${mlirType({ dtype, dims })}`;
