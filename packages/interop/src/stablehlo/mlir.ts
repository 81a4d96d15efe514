import type { Dtype, ReductionKind, TensorType } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/** Helpers for the textual form of MLIR. */

const elementTypes: Readonly<Record<Dtype, string>> = { f32: "f32", bf16: "bf16", i32: "i32", pred: "i1" };

/** `tensor<4x16xf32>`. */
export const mlirType = ({ dtype, dims }: TensorType): string => `tensor<${[...dims, elementTypes[dtype]].join("x")}>`;

/** `(tensor<4xf32>, tensor<4xf32>) -> tensor<4xi1>`. */
export const signature = (inputs: readonly TensorType[], output: TensorType): string =>
  `(${inputs.map(mlirType).join(", ")}) -> ${mlirType(output)}`;

/** `[0, 1]`. */
export const intList = (values: readonly number[]): string => `[${values.join(", ")}]`;

/** Bits of the numbers without a decimal literal. JAX writes NaN for what a lookup reads out of range. */
const bitsOf: Readonly<Record<"f32" | "bf16", { readonly infinity: string; readonly negative: string; readonly nan: string }>> = {
  f32: { infinity: "0x7F800000", negative: "0xFF800000", nan: "0x7FC00000" },
  bf16: { infinity: "0x7F80", negative: "0xFF80", nan: "0x7FC0" },
};

/** The literal of an element in `dense<…>`. The parser rounds decimals to the dtype, like `Math.fround`. */
export function literal(value: number, dtype: Dtype): string {
  if (dtype === "pred") return value === 0 ? "false" : "true";
  if (dtype === "i32") {
    assert(Number.isInteger(value), "an i32 is an integer", value);
    return String(value);
  }
  if (Number.isNaN(value)) return bitsOf[dtype].nan;
  if (!Number.isFinite(value)) return value > 0 ? bitsOf[dtype].infinity : bitsOf[dtype].negative;
  const text = Object.is(value, -0) ? "-0" : String(value);
  const [mantissa = "", exponent] = text.split("e");
  return `${mantissa.includes(".") ? mantissa : `${mantissa}.0`}${exponent === undefined ? "" : `e${exponent}`}`;
}

/** The initial value of a reduction. */
export function neutral(kind: ReductionKind, dtype: Dtype): number {
  if (kind === "sum") return 0;
  const limit = dtype === "i32" ? 2 ** 31 - 1 : Infinity;
  return kind === "min" ? limit : dtype === "i32" ? -limit - 1 : -limit;
}

/** A string attribute. Names contain no control characters. */
export const quoted = (text: string): string => `"${text.replace(/[\\"]/g, "\\$&")}"`;
