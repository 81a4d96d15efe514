import { assert } from "@lapidary/std";

/** Element types. `pred` is a boolean, `i32` a signed integer; indices and tokens are i32. */
export type Dtype = "f32" | "bf16" | "i32" | "pred";
export const dtypes: readonly Dtype[] = ["f32", "bf16", "i32", "pred"];

export interface TensorType {
  readonly dtype: Dtype;
  readonly dims: readonly number[];
}

export const tensorType = (dtype: Dtype, dims: readonly number[]): TensorType => ({ dtype, dims });

/** Number of elements. */
export const sizeOf = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);

export const bytesPerElement: Readonly<Record<Dtype, number>> = { f32: 4, bf16: 2, i32: 4, pred: 1 };

export const bytesOf = (type: TensorType): number => sizeOf(type.dims) * bytesPerElement[type.dtype];

export const sameDims = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

export const sameType = (a: TensorType, b: TensorType): boolean => a.dtype === b.dtype && sameDims(a.dims, b.dims);

/** `f32[4,16]`. */
export const printType = (type: TensorType): string => `${type.dtype}[${type.dims.join(",")}]`;

export function parseType(text: string): TensorType {
  const match = /^(f32|bf16|i32|pred)\[(\d+(?:,\d+)*)?\]$/.exec(text);
  assert(match !== null, "text of a type", text);
  return { dtype: match[1] as Dtype, dims: match[2] === undefined ? [] : match[2].split(",").map(Number) };
}

export const isFloat = (dtype: Dtype): boolean => dtype === "f32" || dtype === "bf16";

/** Row-major strides, in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const strides = Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (dims[i + 1] ?? 1);
  return strides;
}
