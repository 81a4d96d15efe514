import { sizeOf } from "@lapidary/ir";
import type { ArrayData } from "./array-data.js";

/** A file, or a folder, that holds tensors by name. */
export interface TensorFile {
  readonly path: string;
  readonly names: readonly string[];
  dimsOf(name: string): readonly number[] | undefined;
  /** As safetensors names it. */
  dtypeOf(name: string): string | undefined;
  read(name: string): Promise<ArrayData>;
  /** Elements `[from, to)` in row-major order. */
  readRange(name: string, from: number, to: number): Promise<ArrayData>;
  close(): Promise<void>;
}

/** A tensor under the name that its file gives it. */
export interface StoredTensor {
  readonly file: TensorFile;
  readonly name: string;
}

export const dimsOfStored = ({ file, name }: StoredTensor): readonly number[] => file.dimsOf(name) ?? [];

/** Elements that are compared at a time. */
const stretch = 1 << 18;

/**
 * Whether two tensors of one shape hold the same numbers, bit for bit once they are f32; otherwise the first element that differs.
 *
 * @param most how many elements are compared
 */
export async function firstDifference(a: StoredTensor, b: StoredTensor, most = Number.POSITIVE_INFINITY): Promise<number | undefined> {
  const end = Math.min(sizeOf(dimsOfStored(a)), most);
  for (let from = 0; from < end; from += stretch) {
    const to = Math.min(end, from + stretch);
    const [left, right] = [bitsOf(await a.file.readRange(a.name, from, to)), bitsOf(await b.file.readRange(b.name, from, to))];
    const at = left.findIndex((bits, i) => bits !== right[i]);
    if (at >= 0) return from + at;
  }
  return undefined;
}

const bitsOf = ({ data }: ArrayData): Int32Array => new Int32Array(data.buffer, data.byteOffset, data.length);

/** `[row, column]` of an element that is number `flat` in row-major order. */
export function indexOf(dims: readonly number[], flat: number): string {
  const index: number[] = [];
  let rest = flat;
  for (const size of dims.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${index.join(", ")}]`;
}
