import { assert } from "@lapidary/std";
import { type Dtype, sizeOf } from "./types.js";

/** A whole array of the reference interpreter: row-major, every dtype stored in doubles (exact for i32, pred and f32). */
export interface Tensor {
  readonly dtype: Dtype;
  readonly dims: readonly number[];
  readonly data: Float64Array;
}

export function tensor(dtype: Dtype, dims: readonly number[], data: ArrayLike<number>): Tensor {
  assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
  return { dtype, dims, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** Calls `visit(index, flat)` for every multi-index of `dims`, row-major. `index` is reused between calls. */
export function forEachIndex(dims: readonly number[], visit: (index: readonly number[], flat: number) => void): void {
  const total = sizeOf(dims);
  const index = Array<number>(dims.length).fill(0);
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat);
    for (let d = dims.length - 1; d >= 0; d--) {
      const next = (index[d] ?? 0) + 1;
      if (next < (dims[d] ?? 0)) {
        index[d] = next;
        break;
      }
      index[d] = 0;
    }
  }
}

/** Copies the elements at the given positions of each dim: a shard by its index lists. */
export function takeIndices(source: Tensor, positions: readonly (readonly number[])[]): Tensor {
  const dims = positions.map((p) => p.length);
  const out = new Float64Array(sizeOf(dims));
  const strides = stridesFor(source.dims);
  forEachIndex(dims, (index, flat) => {
    let at = 0;
    for (let d = 0; d < index.length; d++) at += (positions[d]?.[index[d] ?? 0] ?? 0) * (strides[d] ?? 1);
    out[flat] = source.data[at] ?? 0;
  });
  return { dtype: source.dtype, dims, data: out };
}

/** Writes a shard to the given positions: the inverse of `takeIndices`. */
export function putIndices(target: Tensor, positions: readonly (readonly number[])[], shard: Tensor): void {
  const strides = stridesFor(target.dims);
  forEachIndex(shard.dims, (index, flat) => {
    let at = 0;
    for (let d = 0; d < index.length; d++) at += (positions[d]?.[index[d] ?? 0] ?? 0) * (strides[d] ?? 1);
    target.data[at] = shard.data[flat] ?? 0;
  });
}

function stridesFor(dims: readonly number[]): number[] {
  const strides = Array<number>(dims.length).fill(1);
  for (let i = dims.length - 2; i >= 0; i--) strides[i] = (strides[i + 1] ?? 1) * (dims[i + 1] ?? 1);
  return strides;
}
