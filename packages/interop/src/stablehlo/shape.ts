import { type TensorType, tensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import { intList, mlirType, signature } from "./mlir.js";
import type { OpPrinters } from "./op-printer.js";
import type { Writer } from "./writer.js";

type ShapeName = "broadcast_in_dim" | "reshape" | "transpose" | "slice" | "pad" | "concatenate" | "dynamic_slice" | "dynamic_update_slice";

/** The starts along all dims: the given name along `dimension`, zero along the others. */
const starts = (writer: Writer, rank: number, dimension: number, start: string): string =>
  Array.from({ length: rank }, (_, d) => (d === dimension ? start : writer.scalar(0, "i32"))).join(", ");

const indices = (rank: number): TensorType[] => Array.from({ length: rank }, () => tensorType("i32", []));

export const shapePrinters: OpPrinters<ShapeName> = {
  broadcast_in_dim: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.broadcast_in_dim ${x}, dims = ${intList(attrs.broadcastDimensions)} : ${signature([ensure(inputs[0], "operand").type], value.type)}`,
  reshape: ({ names: [x], inputs, value }) => `stablehlo.reshape ${x} : ${signature([ensure(inputs[0], "operand").type], value.type)}`,
  transpose: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.transpose ${x}, dims = ${intList(attrs.permutation)} : ${signature([ensure(inputs[0], "operand").type], value.type)}`,
  slice: ({ names: [x], inputs, value, attrs }) =>
    `stablehlo.slice ${x} [${attrs.start.map((from, d) => `${from}:${attrs.limit[d] ?? 0}`).join(", ")}] : ${signature([ensure(inputs[0], "operand").type], value.type)}`,
  pad: ({ writer, names: [x], inputs, value, attrs }) => {
    const { dtype } = value.type;
    const interior = intList(attrs.low.map(() => 0));
    return `stablehlo.pad ${x}, ${writer.scalar(0, dtype)}, low = ${intList(attrs.low)}, high = ${intList(attrs.high)}, interior = ${interior} : ${signature([ensure(inputs[0], "operand").type, { dtype, dims: [] }], value.type)}`;
  },
  dynamic_slice: ({ writer, names: [x, start], inputs, value, attrs }) => {
    const { type } = ensure(inputs[0], "operand");
    const rank = type.dims.length;
    return `stablehlo.dynamic_slice ${x}, ${starts(writer, rank, attrs.dimension, ensure(start, "start"))}, sizes = ${intList(value.type.dims)} : ${signature([type, ...indices(rank)], value.type)}`;
  },
  dynamic_update_slice: ({ writer, names: [x, update, start], inputs, value, attrs }) => {
    const rank = value.type.dims.length;
    const types = [value.type, ensure(inputs[1], "update").type, ...indices(rank)];
    return `stablehlo.dynamic_update_slice ${x}, ${update}, ${starts(writer, rank, attrs.dimension, ensure(start, "start"))} : ${signature(types, value.type)}`;
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
