import { sizeOf, type Tensor, tensor } from "@lapidary/ir";
import { assert } from "@lapidary/std";

/** A global array in host memory, row-major: the contents of a tensor file, or an input or output of a program. */
export type ArrayData =
  | { readonly dtype: "f32"; readonly dims: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: "i32"; readonly dims: readonly number[]; readonly data: Int32Array };

export function f32Array(dims: readonly number[], data: ArrayLike<number>): ArrayData {
  assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
  return { dtype: "f32", dims, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

export function i32Array(dims: readonly number[], data: ArrayLike<number>): ArrayData {
  assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
  return { dtype: "i32", dims, data: data instanceof Int32Array ? data : Int32Array.from(data) };
}

/** Converts to a tensor of the reference interpreter, which computes in doubles. */
export const toTensor = (array: ArrayData): Tensor => tensor(array.dtype, array.dims, array.data);

/** Converts a tensor of the reference interpreter, rounded to its dtype. */
export function fromTensor({ dtype, dims, data }: Tensor): ArrayData {
  assert(dtype === "f32" || dtype === "i32", "an array is f32 or i32", dtype);
  return dtype === "f32" ? f32Array(dims, data) : i32Array(dims, data);
}
