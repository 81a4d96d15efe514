import { sizeOf } from "@lapidary/ir";
import type { ArrayData } from "./array-data.js";

/** A file or folder of tensors, by name. */
export interface TensorFile {
  readonly path: string;
  readonly names: readonly string[];
  dimsOf(name: string): readonly number[] | undefined;
  /** The dtype, as safetensors names it. */
  dtypeOf(name: string): string | undefined;
  read(name: string): Promise<ArrayData>;
  /** Elements `[from, to)` in row-major order. */
  readRange(name: string, from: number, to: number): Promise<ArrayData>;
  close(): Promise<void>;
}

/** A tensor and its name in a file. */
export interface StoredTensor {
  readonly file: TensorFile;
  readonly name: string;
}

export const dimsOfStored = ({ file, name }: StoredTensor): readonly number[] => file.dimsOf(name) ?? [];

/** Number of elements that are compared at a time. */
const chunkElements = 1 << 18;

/**
 * Compares two tensors of the same shape bit by bit, after conversion to f32. Returns the first element that differs, or undefined.
 *
 * @param maxElements maximum number of elements to compare
 */
export async function firstDifference(
  a: StoredTensor,
  b: StoredTensor,
  maxElements = Number.POSITIVE_INFINITY,
): Promise<number | undefined> {
  const end = Math.min(sizeOf(dimsOfStored(a)), maxElements);
  for (let from = 0; from < end; from += chunkElements) {
    const to = Math.min(end, from + chunkElements);
    const [left, right] = [bitsOf(await a.file.readRange(a.name, from, to)), bitsOf(await b.file.readRange(b.name, from, to))];
    const at = left.findIndex((bits, i) => bits !== right[i]);
    if (at >= 0) return from + at;
  }
  return undefined;
}

const bitsOf = ({ data }: ArrayData): Int32Array => new Int32Array(data.buffer, data.byteOffset, data.length);

/** `[row, column]` of the element at row-major position `flat`. */
export function indexOf(dims: readonly number[], flat: number): string {
  const index: number[] = [];
  let rest = flat;
  for (const size of dims.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${index.join(", ")}]`;
}
