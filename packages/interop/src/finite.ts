import { LapidaryError } from "@lapidary/std";
import type { ArrayData } from "./array-data.js";
import { indexOf } from "./tensor-file.js";

/**
 * Refuses an array with a NaN or an infinity.
 *
 * @param dtype in which the file stores it
 * @throws LAP_CHECKPOINT_NOT_FINITE naming the first such element and how many there are
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
  const overflow = dtype === "F16" && !Number.isNaN(value) ? "; F16 holds nothing above 65504: write the weights in BF16 or F32" : "";
  throw new LapidaryError({
    code: "LAP_CHECKPOINT_NOT_FINITE",
    message: `element ${indexOf(dims, first)} is ${value}; ${count} of ${data.length} elements are not finite`,
    place: `${file}: tensor "${tensor}"`,
    remedy: `the training that wrote it diverged, or its conversion overflowed: take an earlier checkpoint${overflow}`,
  });
}
