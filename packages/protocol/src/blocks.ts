import { type Dtype, type Sharding, type TensorType, sizeOf, stridesOf } from "@lapidary/ir";
import { assert, must } from "@lapidary/std";
import { type AtomId, type Mesh, type WorkerGrid, atomOf, workerCoordinate } from "@lapidary/topology";

/** A whole array, or a worker's block of one. pred is held as 0 and 1, bf16 as the f32 numbers it can hold. */
export type ArrayData =
  | { readonly dtype: "f32" | "bf16"; readonly dims: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: "i32" | "pred"; readonly dims: readonly number[]; readonly data: Int32Array };

/** Numbers as arrays hold them: 4 bytes each. */
export type Numbers = Float32Array | Int32Array;

const isFloatDtype = (dtype: Dtype): dtype is "f32" | "bf16" => dtype === "f32" || dtype === "bf16";

/** An array over `data`, which is of the kind that its dtype wants. */
export function arrayOf(dtype: Dtype, dims: readonly number[], data: Numbers): ArrayData {
  assert(data.length === sizeOf(dims), "data fills its dims", data.length, dims);
  if (isFloatDtype(dtype) && data instanceof Float32Array) return { dtype, dims, data };
  if (!isFloatDtype(dtype) && data instanceof Int32Array) return { dtype, dims, data };
  throw new Error(`invariant broken: ${dtype} in a ${data.constructor.name}`);
}

/** Zeros. */
export const emptyNumbers = (dtype: Dtype, length: number): Numbers =>
  isFloatDtype(dtype) ? new Float32Array(length) : new Int32Array(length);

/** Bytes that were received, as numbers: `bytes` begin at a multiple of 4 of their buffer. */
export function numbersOf(dtype: Dtype, bytes: Uint8Array): Numbers {
  const length = bytes.byteLength / 4;
  return isFloatDtype(dtype)
    ? new Float32Array(bytes.buffer, bytes.byteOffset, length)
    : new Int32Array(bytes.buffer, bytes.byteOffset, length);
}

export const bytesOfNumbers = (data: Numbers): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * The part of every dim that a worker holds: the dim seen as factors, of which the workers' are fixed at its coordinates.
 *
 *     dim 32 split by model (in block) 4, data:(1)2 (worker), data:(2)2   →   factors 4, 2 (fixed), 2·2
 *
 *     whole   0 1 2 3 │ 4 5 6 7 ┆ 8 … 11 │ 12 … 15 ┆ …        worker 1 holds 4…7, 12…15, …
 */
interface Factored {
  readonly sizes: readonly number[];
  /** In elements of the whole array. */
  readonly strides: readonly number[];
  /** Where the block's first element stands. */
  readonly offset: number;
}

function factored(mesh: Mesh, grid: WorkerGrid, worker: number, dims: readonly number[], sharding: Sharding): Factored {
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

/** Neighbouring factors that are one run in memory become one. */
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

/** Where the numbers of a block stand in its whole: runs of neighbours, at a stride for each outer factor, all in numbers. */
export interface Runs {
  /** Of the first. */
  readonly offset: number;
  readonly length: number;
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
}

/** Where the block of worker number `worker` stands in a whole array. */
export function runsOf(mesh: Mesh, grid: WorkerGrid, worker: number, dims: readonly number[], sharding: Sharding): Runs {
  const { sizes, strides, offset } = factored(mesh, grid, worker, dims, sharding);
  const contiguous = strides.at(-1) === 1;
  return contiguous
    ? { offset, length: sizes.at(-1) ?? 1, sizes: sizes.slice(0, -1), strides: strides.slice(0, -1) }
    : { offset, length: 1, sizes, strides };
}

/** Calls `copy(from whole, from block, count)` for every run of neighbours. */
function forEachRun(
  { offset, length: run, sizes: outer, strides }: Runs,
  copy: (whole: number, block: number, count: number) => void,
): void {
  const index = outer.map(() => 0);
  let [whole, block] = [offset, 0];
  for (;;) {
    copy(whole, block, run);
    block += run;
    let d = outer.length - 1;
    for (; d >= 0; d--) {
      const [size, stride] = [outer[d] ?? 1, strides[d] ?? 1];
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

/** Dims of a worker's block of a whole array. */
export function blockDimsOf(mesh: Mesh, grid: WorkerGrid, dims: readonly number[], sharding: Sharding): number[] {
  return dims.map((size, d) => (sharding.dims[d] ?? []).reduce((n, id) => (grid.atoms.includes(id) ? n / atomOf(mesh, id).size : n), size));
}

/** The block of a whole array that worker number `worker` of the grid holds, in a new array (or the whole itself, where that is the block). */
export function takeBlock(whole: ArrayData, mesh: Mesh, grid: WorkerGrid, worker: number, sharding: Sharding): ArrayData {
  const dims = blockDimsOf(mesh, grid, whole.dims, sharding);
  if (sizeOf(dims) === whole.data.length) return whole;
  const data = emptyNumbers(whole.dtype, sizeOf(dims));
  forEachRun(runsOf(mesh, grid, worker, whole.dims, sharding), (from, to, count) => data.set(whole.data.subarray(from, from + count), to));
  return arrayOf(whole.dtype, dims, data);
}

/** Writes a block back to the places it was taken from. */
export function putBlock(whole: ArrayData, mesh: Mesh, grid: WorkerGrid, worker: number, sharding: Sharding, block: Numbers): void {
  forEachRun(runsOf(mesh, grid, worker, whole.dims, sharding), (to, from, count) => whole.data.set(block.subarray(from, from + count), to));
}

/** The workers that together hold an array once: first replicas only. */
export function firstReplicas(mesh: Mesh, grid: WorkerGrid, sharding: Sharding): number[] {
  const splits: ReadonlySet<AtomId> = new Set(sharding.dims.flat());
  return Array.from({ length: grid.workers }, (_, worker) => worker).filter((worker) =>
    grid.atoms.every((id) => splits.has(id) || workerCoordinate(mesh, grid, worker, id) === 0),
  );
}

/** The whole array from the blocks of its first replicas. An unreduced value is no array yet: it has no whole. */
export function wholeFromBlocks(
  type: TensorType,
  mesh: Mesh,
  grid: WorkerGrid,
  sharding: Sharding,
  block: (worker: number) => ArrayData,
): ArrayData {
  assert(sharding.unreduced.length === 0, "a value is reduced before it is read", sharding);
  const workers = firstReplicas(mesh, grid, sharding);
  if (workers.length === 1) return arrayOf(type.dtype, type.dims, block(must(workers[0], "worker")).data);
  const whole = arrayOf(type.dtype, type.dims, emptyNumbers(type.dtype, sizeOf(type.dims)));
  for (const worker of workers) putBlock(whole, mesh, grid, worker, sharding, block(worker).data);
  return whole;
}
