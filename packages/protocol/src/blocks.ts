import { type Dtype, sameDims, sizeOf, stridesOf } from "@lapidary/ir";
import { assert, ensure } from "@lapidary/std";
import { type AtomId, atomOf, workerCoordinate } from "@lapidary/topology";
import { type ArrayLayout, type BlockLayout, blockOf } from "./block-layout.js";
import { type WorkerRank, ranksOf } from "./ids.js";

/** A whole array, or a worker's block of one. pred is stored as 0 and 1, bf16 as rounded f32 numbers. */
export type ArrayData =
  | { readonly dtype: "f32" | "bf16"; readonly dims: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: "i32" | "pred"; readonly dims: readonly number[]; readonly data: Int32Array };

/** The numbers of an array, 4 bytes each. */
export type Numbers = Float32Array | Int32Array;

const isFloatDtype = (dtype: Dtype): dtype is "f32" | "bf16" => dtype === "f32" || dtype === "bf16";

/** An array over `data`, whose class must be that of the dtype. */
export function arrayOf(dtype: Dtype, dims: readonly number[], data: Numbers): ArrayData {
  assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
  if (isFloatDtype(dtype) && data instanceof Float32Array) return { dtype, dims, data };
  if (!isFloatDtype(dtype) && data instanceof Int32Array) return { dtype, dims, data };
  throw new Error(`invariant broken: ${dtype} in a ${data.constructor.name}`);
}

/** Zeros. */
export const emptyNumbers = (dtype: Dtype, length: number): Numbers =>
  isFloatDtype(dtype) ? new Float32Array(length) : new Int32Array(length);

/** Received bytes as numbers. `bytes` must start at a multiple of 4 of their buffer. */
export function numbersOf(dtype: Dtype, bytes: Uint8Array): Numbers {
  const length = bytes.byteLength / 4;
  return isFloatDtype(dtype)
    ? new Float32Array(bytes.buffer, bytes.byteOffset, length)
    : new Int32Array(bytes.buffer, bytes.byteOffset, length);
}

export const bytesOfNumbers = (data: Numbers): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The positions of a block in its whole array: contiguous segments with a stride for each outer factor. The unit is one number. */
export interface BlockSegments {
  /** Of the first segment. */
  readonly first: number;
  /** Of each segment. */
  readonly length: number;
  /** Of segments, by outer factor, major to minor. */
  readonly counts: readonly number[];
  readonly strides: readonly number[];
}

/**
 * The dims of a whole array as factors. A block has all positions along some factors. The worker's coordinates fix the other factors, and so the offset.
 *
 *     dim 32 split by model (in block) 4, data:(1)2 (worker), data:(2)2   →   factors 4, 2 (fixed), 2·2
 *
 *     whole   0 1 2 3 │ 4 5 6 7 ┆ 8 … 11 │ 12 … 15 ┆ …        worker 1 has 4…7, 12…15, …
 */
interface Factors {
  readonly sizes: readonly number[];
  /** In numbers of the whole array. */
  readonly strides: readonly number[];
  /** Of the block's first number. */
  readonly offset: number;
}

function factorsOf({ mesh, grid, worker, dims, sharding }: BlockLayout): Factors {
  const whole = stridesOf(dims);
  const sizes: number[] = [];
  const strides: number[] = [];
  let offset = 0;
  dims.forEach((size, d) => {
    let rest = size;
    const unit = whole[d] ?? 1;
    const add = (count: number): void => {
      sizes.push(count);
      strides.push(rest * unit);
    };
    for (const id of sharding.dims[d] ?? []) {
      const parts = atomOf(mesh, id).size;
      assert(rest % parts === 0, "atoms divide their dim", dims, sharding.dims);
      rest /= parts;
      if (grid.atoms.includes(id)) offset += workerCoordinate(mesh, grid, worker, id) * rest * unit;
      else add(parts);
    }
    sizes.push(rest);
    strides.push(unit);
  });
  return { ...merged(sizes, strides), offset };
}

/** Neighbouring factors that are contiguous in memory become one. */
function merged(sizes: readonly number[], strides: readonly number[]): { sizes: number[]; strides: number[] } {
  const out: { sizes: number[]; strides: number[] } = { sizes: [], strides: [] };
  sizes.forEach((size, i) => {
    const [stride, last] = [strides[i] ?? 1, out.sizes.length - 1];
    if (size === 1) return;
    if (last >= 0 && out.strides[last] === stride * size) {
      out.sizes[last] = (out.sizes[last] ?? 1) * size;
      out.strides[last] = stride;
    } else {
      out.sizes.push(size);
      out.strides.push(stride);
    }
  });
  return out;
}

/** Where a block is in its whole array. */
export function segmentsOf(layout: BlockLayout): BlockSegments {
  const { sizes, strides, offset } = factorsOf(layout);
  const contiguous = strides.at(-1) === 1;
  return contiguous
    ? { first: offset, length: sizes.at(-1) ?? 1, counts: sizes.slice(0, -1), strides: strides.slice(0, -1) }
    : { first: offset, length: 1, counts: sizes, strides };
}

/** Calls `visit(start in the whole, start in the block, length)` for every segment, in the order of the block. */
export function forEachSegment(
  { first, length, counts, strides }: BlockSegments,
  visit: (whole: number, block: number, length: number) => void,
): void {
  const index = counts.map(() => 0);
  let [whole, block] = [first, 0];
  for (;;) {
    visit(whole, block, length);
    block += length;
    let d = counts.length - 1;
    for (; d >= 0; d--) {
      const [size, stride] = [counts[d] ?? 1, strides[d] ?? 1];
      const next = (index[d] ?? 0) + 1;
      if (next < size) {
        index[d] = next;
        whole += stride;
        break;
      }
      index[d] = 0;
      whole -= stride * (size - 1);
    }
    if (d < 0) return;
  }
}

/** Dims of a worker's block of a whole array. All workers have the same. */
export const blockDimsOf = ({ mesh, grid, dims, sharding }: ArrayLayout): number[] =>
  dims.map((size, d) => (sharding.dims[d] ?? []).reduce((n, id) => (grid.atoms.includes(id) ? n / atomOf(mesh, id).size : n), size));

/** A block of a whole array, in a new array; the whole array itself if that is the block. */
export function takeBlock(whole: ArrayData, layout: BlockLayout): ArrayData {
  assert(sameDims(whole.dims, layout.dims), "a layout has the dims of its array", whole.dims, layout.dims);
  const dims = blockDimsOf(layout);
  if (sizeOf(dims) === whole.data.length) return whole;
  const data = emptyNumbers(whole.dtype, sizeOf(dims));
  forEachSegment(segmentsOf(layout), (from, to, length) => data.set(whole.data.subarray(from, from + length), to));
  return arrayOf(whole.dtype, dims, data);
}

/** Writes a block to its positions in the whole array. */
function putBlock(whole: ArrayData, layout: BlockLayout, block: Numbers): void {
  forEachSegment(segmentsOf(layout), (to, from, length) => whole.data.set(block.subarray(from, from + length), to));
}

/** The workers that together have an array exactly once: those with its first replicas. */
export function firstReplicas({ mesh, grid, sharding }: Omit<ArrayLayout, "dims">): WorkerRank[] {
  const splits: ReadonlySet<AtomId> = new Set(sharding.dims.flat());
  return ranksOf(grid.workers).filter((worker) =>
    grid.atoms.every((id) => splits.has(id) || workerCoordinate(mesh, grid, worker, id) === 0),
  );
}

/** Joins the blocks of the first replicas to the whole array. An unreduced value has no whole array. */
export function wholeFromBlocks(dtype: Dtype, layout: ArrayLayout, block: (worker: WorkerRank) => ArrayData): ArrayData {
  const { dims, sharding } = layout;
  assert(sharding.unreduced.length === 0, "a value is reduced before it is read", sharding);
  const workers = firstReplicas(layout);
  if (workers.length === 1) return arrayOf(dtype, dims, block(ensure(workers[0], "worker")).data);
  const whole = arrayOf(dtype, dims, emptyNumbers(dtype, sizeOf(dims)));
  for (const worker of workers) putBlock(whole, blockOf(layout, worker), block(worker).data);
  return whole;
}
