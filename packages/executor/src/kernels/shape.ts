import { sameDims, sizeOf } from "@lapidary/ir";
import type { KernelOps } from "@lapidary/native";
import { ensure } from "@lapidary/std";
import type { Bound, NativeOps } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type Kernel, type KernelContext, type KernelName, type KernelTable, chain, operand, vector } from "./kernel.js";

type Context = Pick<KernelContext<KernelName>, "device" | "keep" | "output">;

/** A view with other dims. It copies nothing. */
export function bindReshape(context: Context, native: NativeOps | undefined, dims: readonly number[]): Bound {
  if (native !== undefined)
    return native.bind("Reshape", [native.type("T", context.output.dtype), native.type("Tshape", "i32")], [vector(context, dims)]);
  const { tf } = context.device;
  const shape = [...dims];
  return (inputs) => tf.reshape(operand(inputs, 0), shape);
}

export function bindTranspose(context: Context, native: NativeOps | undefined, permutation: readonly number[]): Bound {
  if (native !== undefined)
    return native.bind("Transpose", [native.type("T", context.output.dtype), native.type("Tperm", "i32")], [vector(context, permutation)]);
  const { tf } = context.device;
  const perm = [...permutation];
  return (inputs) => tf.transpose(operand(inputs, 0), perm);
}

/** Whether a transpose keeps the order of all dims larger than 1. The memory layout then stays the same. */
export function isViewTranspose(dims: readonly number[], permutation: readonly number[]): boolean {
  const moved = permutation.filter((d) => (dims[d] ?? 1) !== 1);
  return moved.every((d, i) => i === 0 || d > (moved[i - 1] ?? 0));
}

const broadcastInDim: Kernel<"broadcast_in_dim"> = {
  tfjs: (context) => {
    const { tf } = context.device;
    const aligned = alignedDims(context);
    const dims = [...context.output.dims];
    const reshaped = sameDims(aligned, context.inputs[0]?.dims ?? []) ? undefined : bindReshape(context, undefined, aligned);
    const broadcast: Bound = (inputs) => tf.broadcastTo(operand(inputs, 0), dims);
    return reshaped === undefined ? broadcast : chain(reshaped, broadcast);
  },
  native: (context, native) => {
    const aligned = alignedDims(context);
    const { dims, dtype } = context.output;
    const reshaped = sameDims(aligned, context.inputs[0]?.dims ?? []) ? undefined : bindReshape(context, native, aligned);
    if (reshaped !== undefined && sameDims(aligned, dims)) return reshaped;
    const steps = broadcastSteps(aligned, dims).map((to) =>
      native.bind("BroadcastTo", [native.type("T", dtype), native.type("Tidx", "i32")], [vector(context, to)]),
    );
    return [...(reshaped === undefined ? [] : [reshaped]), ...steps].reduce(chain);
  },
};

/** Maximum number of groups that one call of BroadcastTo takes: TensorFlow has kernels for up to five. */
const mostBroadcastGroups = 5;

/**
 * The dims after each call of BroadcastTo. TensorFlow folds neighbouring dims that are all repeated, or all kept, into one group. If there
 * are too many groups, the first call repeats the last repeated group alone, and the next calls the others.
 *
 * @param from dims of the operand, 1 for each repeated dim
 * @param to dims of the result, of the same rank
 */
export function broadcastSteps(from: readonly number[], to: readonly number[]): (readonly number[])[] {
  const large = to.map((_, d) => d).filter((d) => to[d] !== 1);
  const isRepeated = (d: number | undefined): boolean => d !== undefined && from[d] !== to[d];
  const groups = large.filter((d, i) => i === 0 || isRepeated(d) !== isRepeated(large[i - 1])).length;
  if (groups <= mostBroadcastGroups) return [to];
  const end = large.findLastIndex(isRepeated);
  const start = large.findLastIndex((d, i) => i < end && !isRepeated(d)) + 1;
  const repeated = large.slice(start, end + 1);
  const next = from.map((size, d) => (repeated.includes(d) ? (to[d] ?? size) : size));
  return [next, ...broadcastSteps(next, to)];
}

/** The dims of the operand in the rank of the result, with 1 for each new dim. */
function alignedDims({ attrs: { broadcastDimensions }, inputs, output }: KernelContext<"broadcast_in_dim">): number[] {
  return output.dims.map((_, d) => (broadcastDimensions.includes(d) ? (inputs[0]?.dims[broadcastDimensions.indexOf(d)] ?? 1) : 1));
}

const reshape: Kernel<"reshape"> = {
  tfjs: (context) => bindReshape(context, undefined, context.attrs.dims),
  native: (context, native) => bindReshape(context, native, context.attrs.dims),
};

const transpose: Kernel<"transpose"> = {
  tfjs: (context) => bindTranspose(context, undefined, context.attrs.permutation),
  native: (context, native) =>
    isViewTranspose(context.inputs[0]?.dims ?? [], context.attrs.permutation)
      ? bindReshape(context, native, context.output.dims)
      : bindTranspose(context, native, context.attrs.permutation),
};

const slice: Kernel<"slice"> = {
  tfjs: ({ device: { tf }, attrs: { start }, output: { dims } }) => {
    const [begin, size] = [[...start], [...dims]];
    return (inputs) => tf.slice(operand(inputs, 0), begin, size);
  },
  native: (context, native) =>
    native.bind(
      "Slice",
      [native.type("T", context.output.dtype), native.type("Index", "i32")],
      [vector(context, context.attrs.start), vector(context, context.output.dims)],
    ),
};

const pad: Kernel<"pad"> = {
  tfjs: ({ device: { tf }, attrs: { low, high }, output }) => {
    const padding = low.map((l, d): [number, number] => [l, high[d] ?? 0]);
    if (padding.length === 0) return (inputs) => operand(inputs, 0).clone();
    if (output.dtype !== "pred") return (inputs) => tf.pad(operand(inputs, 0), padding);
    return (inputs) => tf.tidy(() => tf.cast(tf.pad(tf.cast(operand(inputs, 0), "int32"), padding), "bool"));
  },
  native: ({ device: { tf }, keep, attrs: { low, high }, output }, native) => {
    const padding = keep(
      tf.tensor2d(
        low.flatMap((l, d) => [l, high[d] ?? 0]),
        [low.length, 2],
        "int32",
      ),
    );
    return native.bind("Pad", [native.type("T", output.dtype), native.type("Tpaddings", "i32")], [padding]);
  },
  ownsMemory: true,
};

const concatenate: Kernel<"concatenate"> = {
  tfjs:
    ({ device: { tf }, attrs: { dimension } }) =>
    (inputs) =>
      tf.concat(inputs, dimension),
  native: ({ device: { tf }, keep, attrs: { dimension }, inputs, output }, native) => {
    if (inputs.length === 1) return native.bind("Identity", [native.type("T", output.dtype)]);
    return native.bind(
      "ConcatV2",
      [native.int("N", inputs.length), native.type("T", output.dtype), native.type("Tidx", "i32")],
      [keep(tf.scalar(dimension, "int32"))],
    );
  },
};

/** The start of a slice: a scalar on the device, limited so that `size` elements are inside `whole`. */
const startOf = (scalar: DeviceTensor, size: number, whole: number): number =>
  Math.max(0, Math.min(ensure(scalar.dataSync()[0], "start"), whole - size));

const dynamicSlice: Kernel<"dynamic_slice"> = {
  tfjs: ({ device: { tf }, attrs: { dimension, size }, inputs: types, output: { dims } }) => {
    const whole = ensure(ensure(types[0], "operand").dims[dimension], "dim");
    return (inputs) => {
      const begin = dims.map(() => 0);
      begin[dimension] = startOf(operand(inputs, 1), size, whole);
      return tf.slice(operand(inputs, 0), begin, [...dims]);
    };
  },
  native: (context, native) => {
    const {
      device,
      attrs: { dimension, size },
      output: { dtype },
    } = context;
    if (device.fused === undefined || dtype === "pred") return dynamicSlice.tfjs(context);
    return native.bindSlice({ T: dtype === "i32" ? "i32" : "f32", dimension, size });
  },
};

const dynamicUpdateSlice: Kernel<"dynamic_update_slice"> = {
  tfjs: ({ device: { tf }, attrs: { dimension }, inputs: types, output: { dims } }) => {
    const [whole, size] = [ensure(dims[dimension], "dim"), ensure(ensure(types[1], "update").dims[dimension], "dim")];
    const part = (x: DeviceTensor, from: number, to: number): DeviceTensor => {
      const begin = dims.map((_, d) => (d === dimension ? from : 0));
      return tf.slice(
        x,
        begin,
        dims.map((all, d) => (d === dimension ? to - from : all)),
      );
    };
    return (inputs) =>
      tf.tidy(() => {
        const [x, update] = [operand(inputs, 0), operand(inputs, 1)];
        const start = startOf(operand(inputs, 2), size, whole);
        const parts = [...(start > 0 ? [part(x, 0, start)] : []), update];
        if (start + size < whole) parts.push(part(x, start + size, whole));
        return tf.concat(parts, dimension);
      });
  },
  native: (context, native) =>
    context.device.fused === undefined ? dynamicUpdateSlice.tfjs(context) : native.bindUpdateSlice(updateSliceAttributes(context, false)),
  inPlace: (context, native) => native.bindUpdateSlice(updateSliceAttributes(context, true)),
  ownsMemory: true,
};

const updateSliceAttributes = (
  { attrs: { dimension }, output: { dtype, dims } }: KernelContext<"dynamic_update_slice">,
  isInPlace: boolean,
): KernelOps["LapidaryUpdateSlice"] => ({
  T: dtype === "i32" ? "i32" : "f32",
  whole: ensure(dims[dimension], "dim"),
  inner: sizeOf(dims.slice(dimension + 1)),
  in_place: isInPlace,
});

export const shapeKernels: {
  readonly [N in
    | "broadcast_in_dim"
    | "reshape"
    | "transpose"
    | "slice"
    | "pad"
    | "concatenate"
    | "dynamic_slice"
    | "dynamic_update_slice"]: KernelTable[N];
} = {
  broadcast_in_dim: broadcastInDim,
  reshape,
  transpose,
  slice,
  pad,
  concatenate,
  dynamic_slice: dynamicSlice,
  dynamic_update_slice: dynamicUpdateSlice,
};
