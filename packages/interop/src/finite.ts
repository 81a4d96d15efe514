import { LapidaryError } from "@lapidary/std";
import type { ArrayData } from "./array-data.js";
import { indexOf } from "./tensor-file.js";

/**
 * Rejects an array with NaN or infinite elements.
 *
 * @param dtype the dtype in the file
 * @throws LAP_CHECKPOINT_NOT_FINITE with the first such element and their number
 */
export function checkFinite({ data, dims }: ArrayData, file: string, tensor: string, dtype?: string): void {
  let [first, count] = [-1, 0];
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    if (count === 0) first = i;
    count++;
  }
  if (count === 0) return;
  const value = data[first];
  const overflow = dtype === "F16" && !Number.isNaN(value) ? "; the maximum of F16 is 65504: write the weights in BF16 or F32" : "";
  throw new LapidaryError({
    code: "LAP_CHECKPOINT_NOT_FINITE",
    message: `${count} of ${data.length} elements are NaN or infinite; the first, ${indexOf(dims, first)}, is ${value}`,
    location: `${file}: tensor "${tensor}"`,
    remedy: `use an earlier checkpoint: the training that wrote this one diverged, or its conversion overflowed${overflow}`,
  });
}
