import type { LocalOpName, OpAttrs, TensorType } from "@lapidary/ir";
import { must } from "@lapidary/std";
import type { Device } from "../device/device.js";
import type { Bound, NativeOps } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import type { Placement } from "./placement.js";

/** `f32`: products of f32 are exact to f32. `mxu`: operands of products are rounded to bf16 first and summed in f32, as the TPU's matrix unit does. */
export type Numerics = "f32" | "mxu";

/** Ops with a kernel: all local ones but `parameter`, whose value is given. */
export type KernelName = Exclude<LocalOpName, "parameter">;

/** What a kernel may know when it is bound. Elementwise operands may have dims of 1 where the result has more: kernels broadcast. */
export interface KernelContext<N extends KernelName> {
  readonly device: Device;
  readonly attrs: OpAttrs[N];
  readonly inputs: readonly TensorType[];
  readonly output: TensorType;
  readonly numerics: Numerics;
  /** Where the elements of operands and result stand in the whole arrays. */
  readonly inputPlaces: readonly Placement[];
  readonly outputPlace: Placement;
  /** Registers a tensor that lives as long as the bound kernel, and returns it. */
  readonly keep: (tensor: DeviceTensor) => DeviceTensor;
}

/**
 * How one op is computed. Binding does all that can be done before the operands are known; a bound kernel looks up nothing.
 * It leaves its operands alone and returns a tensor that the caller must dispose.
 */
export interface Kernel<N extends KernelName> {
  /** Level 1: tfjs ops, on any backend. */
  readonly tfjs: (context: KernelContext<N>) => Bound;
  /** Level 2: TensorFlow ops by name, where there is TensorFlow. Means the same. */
  readonly native?: (context: KernelContext<N>, native: NativeOps) => Bound;
}

/** Total over the ops: an op without a kernel does not compile. */
export type KernelTable = { readonly [N in KernelName]: Kernel<N> };

/** Operand `i` of a bound kernel. */
export const operand = (inputs: readonly DeviceTensor[], i: number): DeviceTensor => must(inputs[i], "operand");

/** A constant vector of a kernel: a shape, a permutation, axes. */
export const vector = (context: Pick<KernelContext<KernelName>, "device" | "keep">, numbers: readonly number[]): DeviceTensor =>
  context.keep(context.device.tf.tensor1d([...numbers], "int32"));

/** One kernel after another, disposing what lies between. */
export function chain(first: Bound, second: Bound): Bound {
  return (inputs) => {
    const between = first(inputs);
    const result = second([between]);
    between.dispose();
    return result;
  };
}
