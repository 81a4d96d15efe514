import { type Value, bytesPerElement, sizeOf } from "@lapidary/ir";

/** In which type a chip computes what the program writes in f32: `bf16` under `numerics: mxu`. */
export type ComputeDtype = "bf16" | "f32";

/**
 * Bytes of a value in a chip's memory, and on links. Under bf16, params and moments and all that the update computes stay f32; what the
 * forward and backward passes make of them is bf16, gradients up to the update among it: weights are converted before they are gathered, and gradients are reduced as they are made.
 */
export function storedBytes(value: Value, compute: ComputeDtype): number {
  return sizeOf(value.type.dims) * (isConverted(value, compute) ? 2 : bytesPerElement[value.type.dtype]);
}

const isConverted = (value: Value, compute: ComputeDtype): boolean =>
  compute === "bf16" &&
  value.type.dtype === "f32" &&
  value.op !== "parameter" &&
  value.scope.phase !== "update" &&
  value.role !== "optimizer" &&
  value.role !== "metric";
