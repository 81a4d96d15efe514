import type { LocalOpName, OpAttrs, OpName, TensorType } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Device } from "../device/device.js";
import type { Bound, NativeOps } from "../device/native-ops.js";
import type { DeviceTensor } from "../device/tfjs.js";
import type { Placement } from "./placement.js";

/** `f32`: matmuls compute in f32. `mxu`: matmuls round their operands to bf16 and add in f32, as the matrix unit of a TPU does. */
export type Numerics = "f32" | "mxu";

/** Ops with a kernel: all local ops except `parameter`, whose value the caller passes, and `constrain`, which programs of chips lack. */
export type KernelName = Exclude<LocalOpName, "parameter" | "constrain">;

/** The data that a kernel has when it is bound. Elementwise operands may have dims of 1 that the result has in full, because kernels broadcast. */
export interface KernelContext<N extends KernelName> {
  readonly device: Device;
  readonly attrs: OpAttrs[N];
  readonly inputs: readonly TensorType[];
  readonly output: TensorType;
  readonly numerics: Numerics;
  /** Whether matmuls with few rows use `LapidaryDot`, whose sums have another order. Default: false. */
  readonly fewRows?: boolean;
  /** The op that computes the first operand, or the array that the operand is a view of. */
  readonly leftOp?: OpName | undefined;
  /** The positions of the elements of operands and result in the whole arrays. */
  readonly inputPlacements: readonly Placement[];
  readonly outputPlacement: Placement;
  /** Registers a tensor that is disposed with the bound kernel, and returns it. */
  readonly keep: (tensor: DeviceTensor) => DeviceTensor;
}

/**
 * The implementation of one op. Binding does everything that does not depend on the operands, so that a bound kernel looks up nothing. A bound kernel
 * does not dispose its operands. The caller must dispose the result.
 */
export interface Kernel<N extends KernelName> {
  /** Level 1: tfjs ops, on any backend. */
  readonly tfjs: (context: KernelContext<N>) => Bound;
  /** Level 2: TensorFlow ops by name. It computes the same values. */
  readonly native?: (context: KernelContext<N>, native: NativeOps) => Bound;
  /**
   * Computes the same values in the memory of the first operand. Runs only if nothing uses that operand afterwards, and no other tensor shares its
   * memory.
   */
  readonly inPlace?: (context: KernelContext<N>, native: NativeOps) => Bound;
  /** No other tensor shares the memory of the result. False by default: a view shares that of its operand. */
  readonly ownsMemory?: true;
}

/** Total over the ops: TypeScript refuses an op without a kernel. */
export type KernelTable = { readonly [N in KernelName]: Kernel<N> };

/** Operand `i` of a bound kernel. */
export const operand = (inputs: readonly DeviceTensor[], i: number): DeviceTensor => ensure(inputs[i], "operand");

/** A constant vector of a kernel: a shape, a permutation, axes. */
export const vector = (context: Pick<KernelContext<KernelName>, "device" | "keep">, numbers: readonly number[]): DeviceTensor =>
  context.keep(context.device.tf.tensor1d([...numbers], "int32"));

/** Runs two kernels one after the other, and disposes the tensor between them. */
export function chain(first: Bound, second: Bound): Bound {
  return (inputs) => {
    const between = first(inputs);
    const result = second([between]);
    between.dispose();
    return result;
  };
}
