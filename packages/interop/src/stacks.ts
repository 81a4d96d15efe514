import { type ParamSpec, sliceDims } from "@lapidary/models";
import { type ArrayData, f32Array } from "./array-data.js";
import type { TensorFile } from "./tensor-file.js";

/** A stack of its slices, in order. `dims` of the stack: by default one leading dim for the slices. */
export function stackArrays(slices: readonly ArrayData[], dims?: readonly number[]): ArrayData {
  const data = new Float32Array(slices.reduce((n, slice) => n + slice.data.length, 0));
  let at = 0;
  for (const slice of slices) {
    data.set(slice.data, at);
    at += slice.data.length;
  }
  return f32Array(dims ?? [slices.length, ...(slices[0]?.dims ?? [])], data);
}

/** The tensors of a checkpoint that hold an array, with their numbers. They share the memory of the array. */
export function partsOfArray({
  name,
  array,
  parts,
}: {
  readonly name: string;
  readonly array: ArrayData;
  readonly parts?: readonly string[] | undefined;
}): [string, ArrayData][] {
  if (parts === undefined) return [[name, array]];
  const size = array.data.length / parts.length;
  const dims = sliceDims(array.dims, parts.length);
  return parts.map((part, i) => [part, { ...array, dims, data: array.data.subarray(i * size, (i + 1) * size) } as ArrayData]);
}

/**
 * A parameter from arrays by the names of a checkpoint.
 *
 * @param read an array by its name and dims
 */
export const readParam = (
  spec: Pick<ParamSpec, "name" | "dims" | "parts">,
  read: (name: string, dims: readonly number[]) => ArrayData,
): ArrayData =>
  spec.parts === undefined
    ? read(spec.name, spec.dims)
    : stackArrays(
        spec.parts.map((part) => read(part, sliceDims(spec.dims, spec.parts?.length ?? 1))),
        spec.dims,
      );

/** A parameter from the parameters of a model without stages: itself, or the stack of its layers. */
export const readLayers = async (
  { name, dims, layers }: Pick<ParamSpec, "name" | "dims" | "layers">,
  read: (name: string) => Promise<ArrayData>,
): Promise<ArrayData> => (layers === undefined ? read(name) : stackArrays(await Promise.all(layers.map(read)), dims));

/** As `readParam`, from a file. */
export const readFileTensor = async (
  file: Pick<TensorFile, "read">,
  { name, parts }: Pick<ParamSpec, "name" | "parts">,
): Promise<ArrayData> => (parts === undefined ? file.read(name) : stackArrays(await Promise.all(parts.map((part) => file.read(part)))));
