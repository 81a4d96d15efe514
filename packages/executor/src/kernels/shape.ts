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
    const broadcasts = broadcastSteps(aligned, dims).map(
      (to): Bound =>
        (inputs) =>
          tf.broadcastTo(operand(inputs, 0), [...to]),
    );
    return [...(reshaped === undefined ? [] : [reshaped]), ...broadcasts].reduce(chain);
  },
  native: (context, native) => {
    const aligned = alignedDims(context);
    const { dims, dtype } = context.output;
    const reshaped = sameDims(aligned, context.inputs[0]?.dims ?? []) ? undefined : bindReshape(context, native, aligned);
    if (reshaped !== undefined && sameDims(aligned, dims)) return reshaped;
    const broadcasts = broadcastSteps(aligned, dims).map((to) =>
      native.bind("BroadcastTo", [native.type("T", dtype), native.type("Tidx", "i32")], [vector(context, to)]),
    );
    return [...(reshaped === undefined ? [] : [reshaped]), ...broadcasts].reduce(chain);
  },
};

/** Groups of neighbouring dims that TensorFlow broadcasts at most in one call. */
const mostGroups = 5;

/**
 * The dims after each broadcast from `from` to `to`, the last of them `to`. TensorFlow merges neighbouring dims that are both repeated or both
 * kept, and refuses more than five such groups.
 */
function broadcastSteps(from: readonly number[], to: readonly number[]): (readonly number[])[] {
  const steps: (readonly number[])[] = [];
  for (let current = from; steps.length === 0 || !sameDims(current, to); ) {
    let next = current;
    for (let d = to.length - 1; d >= 0; d--) {
      const longer = next.map((size, at) => (at === d ? (to[d] ?? 1) : size));
      if (groupsOf(current, longer) > mostGroups) break;
      next = longer;
    }
    steps.push(next);
    current = next;
  }
  return steps;
}

/** Groups of neighbouring dims that are all repeated or all kept. Dims of size 1 belong to any group. */
function groupsOf(from: readonly number[], to: readonly number[]): number {
  const kinds = to.flatMap((size, d) => (size === 1 ? [] : [from[d] === size]));
  return kinds.filter((kind, i) => i === 0 || kind !== kinds[i - 1]).length;
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
