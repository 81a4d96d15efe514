import { ensure, uniformAt } from "@lapidary/std";
import { forEachIndex, normalElement, sizeOf } from "@lapidary/ir";
import { roundArrayToBf16 } from "./bf16.js";
import { type Kernel, type KernelContext, type KernelTable, operand, vector } from "./kernel.js";
import type { Placement } from "./placement.js";

/** An array of one repeated number. If all uses broadcast it, its dims are 1. */
const constant: Kernel<"constant"> = {
  tfjs: ({ device, attrs: { value }, output }) => {
    const { tf } = device;
    const number = output.dtype === "bf16" ? (roundArrayToBf16(Float32Array.of(value))[0] ?? 0) : value;
    const dims = [...output.dims];
    if (output.dtype === "pred") return () => tf.tidy(() => tf.cast(tf.fill(dims, number === 0 ? 0 : 1, "int32"), "bool"));
    return () => tf.fill(dims, number, output.dtype === "i32" ? "int32" : "float32");
  },
  native: (context, native) => {
    const {
      device,
      attrs: { value },
      output,
      keep,
    } = context;
    const data = output.dtype === "f32" || output.dtype === "bf16" ? Float32Array.of(value) : Int32Array.of(value);
    const scalar = keep(device.upload(output.dtype, [], output.dtype === "bf16" ? roundArrayToBf16(data as Float32Array) : data));
    const dims = vector(context, output.dims);
    const fill = native.bind("Fill", [native.type("T", output.dtype), native.type("index_type", "i32")]);
    return () => fill([dims, scalar]);
  },
};

/** Positions along a dim of the whole array. A part may start at any position. */
const iota: Kernel<"iota"> = {
  tfjs: ({ device, attrs: { dimension }, output, outputPlacement, keep }) => {
    const positions = outputPlacement.positions(dimension);
    const { dims } = output;
    const data = output.dtype === "i32" || output.dtype === "pred" ? new Int32Array(sizeOf(dims)) : new Float32Array(sizeOf(dims));
    forEachIndex(dims, (index, flat) => {
      data[flat] = positions[index[dimension] ?? 0] ?? 0;
    });
    const made = keep(device.upload(output.dtype, dims, output.dtype === "bf16" ? roundArrayToBf16(data as Float32Array) : data));
    return () => made.clone();
  },
};

/** An element is a function of the key and its index in the whole array, so that every part computes its own elements. */
const rngNormal: Kernel<"rng_normal"> = {
  tfjs: (context) => {
    const { device, output } = context;
    return () => device.upload("f32", output.dims, normalBlock(context));
  },
};

const normalBlock = ({ attrs, output: { dims }, outputPlacement }: KernelContext<"rng_normal">): Float32Array =>
  block(dims, outputPlacement, normalElement(attrs, sizeOf(dims.map((_, d) => outputPlacement.wholeSize(d)))));

const rngUniform: Kernel<"rng_uniform"> = {
  tfjs: ({ device, output: { dims }, outputPlacement }) => {
    return (inputs) => {
      const key = ensure(operand(inputs, 0).dataSync()[0], "key");
      return device.upload(
        "f32",
        dims,
        block(dims, outputPlacement, (index) => uniformAt(key, index)),
      );
    };
  },
  native: (context, native) => {
    const {
      device,
      output: { dims },
      outputPlacement,
      keep,
    } = context;
    if (device.fused === undefined) return rngUniform.tfjs(context);
    return native.bindUniform(
      [...uniformIndices(dims, outputPlacement), Int32Array.from(dims)].map((numbers) =>
        keep(device.upload("i32", [numbers.length], numbers)),
      ),
    );
  },
};

/**
 * The index of an element in the whole array is the sum of the offsets of its row and its column. The hash takes it modulo 2³².
 *
 * @returns the offsets of rows, and of columns
 */
export function uniformIndices(dims: readonly number[], placement: Placement): [rows: Int32Array, columns: Int32Array] {
  const offsets = offsetsOf(dims, placement);
  const columns = Int32Array.from(offsets.at(-1) ?? [0], (offset) => offset | 0);
  const rows = new Int32Array(sizeOf(dims.slice(0, -1)));
  forEachIndex(dims.slice(0, -1), (index, flat) => {
    rows[flat] = index.reduce((sum, i, d) => sum + (offsets[d]?.[i] ?? 0), 0) | 0;
  });
  return [rows, columns];
}

/** By dim: the offsets of the positions of a part in the whole array. */
const offsetsOf = (dims: readonly number[], placement: Placement): Float64Array[] =>
  dims.map((_, d) => {
    const stride = dims.slice(d + 1).reduce((n, _size, i) => n * placement.wholeSize(d + 1 + i), 1);
    return Float64Array.from(placement.positions(d), (position) => position * stride);
  });

/** The elements of a part, each from its index in the whole array. */
function block(dims: readonly number[], placement: Placement, element: (index: number) => number): Float32Array {
  const offsets = offsetsOf(dims, placement);
  const data = new Float32Array(sizeOf(dims));
  const row = offsets.at(-1) ?? Float64Array.of(0);
  forEachIndex(dims.slice(0, -1), (index, flat) => {
    const start = index.reduce((sum, i, d) => sum + (offsets[d]?.[i] ?? 0), 0);
    const at = flat * row.length;
    for (let i = 0; i < row.length; i++) data[at + i] = element(start + (row[i] ?? 0));
  });
  return data;
}

/** The executor of the region replaces the result from the second iteration on. */
const carry: Kernel<"carry"> = { tfjs: () => (inputs) => operand(inputs, 0).clone() };
const yieldNext: Kernel<"yield"> = { tfjs: () => (inputs) => operand(inputs, 1).clone() };

export const structureKernels: { readonly [N in "constant" | "iota" | "rng_normal" | "rng_uniform" | "carry" | "yield"]: KernelTable[N] } =
  {
    constant,
    iota,
    rng_normal: rngNormal,
    rng_uniform: rngUniform,
    carry,
    yield: yieldNext,
  };
