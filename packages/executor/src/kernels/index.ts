import { ops } from "@lapidary/ir";
import type { Bound } from "../device/native-ops.js";
import { roundToBf16 } from "./bf16.js";
import { contractionKernels } from "./contraction.js";
import { cumsumKernels } from "./cumsum.js";
import { elementwiseKernels } from "./elementwise.js";
import { type Kernel, type KernelContext, type KernelName, type KernelTable, operand } from "./kernel.js";
import { raggedKernels } from "./ragged.js";
import { rowKernels } from "./rows.js";
import { shapeKernels } from "./shape.js";
import { shiftKernels } from "./shift.js";
import { structureKernels } from "./structure.js";

/** The kernel of each op. */
export const kernels: KernelTable = {
  ...structureKernels,
  ...elementwiseKernels,
  ...shapeKernels,
  ...cumsumKernels,
  ...shiftKernels,
  ...contractionKernels,
  ...raggedKernels,
  ...rowKernels,
};

/** The kernel of an op. Its type pairs the kernel with the attributes of the op. */
const kernelOf = <N extends KernelName>(name: N): Kernel<N> => kernels[name];

/** Binds one op: its level-2 kernel if it has one and the device has TensorFlow, otherwise its level-1 kernel. Results in bf16 are rounded. */
export function bindKernel<N extends KernelName>(name: N, context: KernelContext<N>): Bound {
  const { device, output } = context;
  const kernel = kernelOf(name);
  const bound =
    device.native !== undefined && kernel.native !== undefined
      ? kernel.native(context, device.native)
      : counted(context, kernel.tfjs(context));
  if (output.dtype !== "bf16" || !ops[name].rounds) return bound;
  const round = device.native?.bindRoundToBf16() ?? ((inputs: Parameters<Bound>[0]) => roundToBf16(device, operand(inputs, 0).clone()));
  return (inputs) => {
    const exact = bound(inputs);
    const rounded = round([exact]);
    exact.dispose();
    return rounded;
  };
}

/** The kernel that overwrites its first operand; undefined if the op or the device has none. */
export function bindInPlace<N extends KernelName>(name: N, context: KernelContext<N>): Bound | undefined {
  const { device, output } = context;
  const { inPlace } = kernelOf(name);
  if (inPlace === undefined || device.native === undefined || device.fused === undefined || output.dtype === "bf16") return undefined;
  return inPlace(context, device.native);
}

/** Whether no other tensor shares the memory of the op's result. */
export const ownsMemory = (name: KernelName): boolean => kernelOf(name).ownsMemory === true;

function counted<N extends KernelName>({ device }: KernelContext<N>, bound: Bound): Bound {
  return (inputs) => {
    device.countCall();
    return bound(inputs);
  };
}

export { type KernelContext, type KernelName, type KernelTable, type Numerics } from "./kernel.js";
export { type Placement, blockPlacement, wholePlacement } from "./placement.js";
