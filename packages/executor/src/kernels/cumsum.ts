import { type Kernel, type KernelTable, operand } from "./kernel.js";

const cumsum: Kernel<"cumsum"> = {
  tfjs:
    ({ device: { tf }, attrs: { dimension, reverse } }) =>
    (inputs) =>
      tf.cumsum(operand(inputs, 0), dimension, false, reverse),
  native: ({ device: { tf }, keep, attrs: { dimension, reverse }, output }, native) =>
    native.bind(
      "Cumsum",
      [native.bool("exclusive", false), native.bool("reverse", reverse), native.type("T", output.dtype), native.type("Tidx", "i32")],
      [keep(tf.scalar(dimension, "int32"))],
    ),
  ownsMemory: true,
};

export const cumsumKernels: { readonly cumsum: KernelTable["cumsum"] } = { cumsum };
