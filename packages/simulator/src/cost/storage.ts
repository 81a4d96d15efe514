import { type Value, bytesPerElement, sizeOf } from "@lapidary/ir";

/** The type in which a chip computes the f32 values of a program: `bf16` with `numerics: mxu`. */
export type ComputeDtype = "bf16" | "f32";

/**
 * Bytes of a value in a chip's memory, and on links. With bf16, params, moments and values of the update stay f32. Values of the
 * forward and backward passes are bf16, gradients before the update included. So weights are converted before they are gathered,
 * and gradients are reduced in bf16. A batch and gathered weights were written by a pass of another program, as a cache is.
 */
export function storedBytes(value: Value, compute: ComputeDtype): number {
  return sizeOf(value.type.dims) * (isConverted(value, compute) ? 2 : bytesPerElement[value.type.dtype]);
}

const isConverted = (value: Value, compute: ComputeDtype): boolean =>
  compute === "bf16" &&
  value.type.dtype === "f32" &&
  (value.op !== "parameter" || value.role === "batch" || value.role === "gathered") &&
  value.scope.phase !== "update" &&
  value.role !== "optimizer" &&
  value.role !== "metric";
