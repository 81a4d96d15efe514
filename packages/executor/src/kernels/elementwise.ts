import type { BinaryName, CompareDirection, ElementwiseName, UnaryName } from "@lapidary/ir";
import type { DeviceTensor, TfjsCore } from "../device/tfjs.js";
import { type Kernel, type KernelTable, operand } from "./kernel.js";
import { roundToBf16 } from "./bf16.js";

/** An op of one or more operands of type `T`. */
function simple<N extends UnaryName | BinaryName | "stop_gradient" | "and">(
  tensorflow: string,
  tfjs: (tf: TfjsCore, a: DeviceTensor, b: DeviceTensor) => DeviceTensor,
  typed = true,
): Kernel<N> {
  return {
    tfjs: ({ device: { tf }, inputs: { length } }) =>
      length === 1
        ? (inputs) => tfjs(tf, operand(inputs, 0), operand(inputs, 0))
        : (inputs) => tfjs(tf, operand(inputs, 0), operand(inputs, 1)),
    native: ({ inputs }, native) => native.bind(tensorflow, typed ? [native.type("T", inputs[0]?.dtype ?? "f32")] : []),
  };
}

const comparisons: Readonly<
  Record<CompareDirection, readonly [tensorflow: string, tfjs: "equal" | "notEqual" | "less" | "lessEqual" | "greater" | "greaterEqual"]>
> = {
  EQ: ["Equal", "equal"],
  NE: ["NotEqual", "notEqual"],
  LT: ["Less", "less"],
  LE: ["LessEqual", "lessEqual"],
  GT: ["Greater", "greater"],
  GE: ["GreaterEqual", "greaterEqual"],
};

const compare: Kernel<"compare"> = {
  tfjs: ({ device: { tf }, attrs }) => {
    const [, name] = comparisons[attrs.direction];
    return (inputs) => tf[name](operand(inputs, 0), operand(inputs, 1));
  },
  native: ({ attrs, inputs }, native) => native.bind(comparisons[attrs.direction][0], [native.type("T", inputs[0]?.dtype ?? "f32")]),
};

const select: Kernel<"select"> = {
  tfjs:
    ({ device: { tf } }) =>
    (inputs) =>
      tf.where(operand(inputs, 0), operand(inputs, 1), operand(inputs, 2)),
  native: ({ output }, native) => native.bind("SelectV2", [native.type("T", output.dtype)]),
};

const convert: Kernel<"convert"> = {
  tfjs: ({ device, attrs: { dtype }, inputs }) => {
    const { tf } = device;
    if (dtype === "bf16") return (operands) => roundToBf16(device, tf.cast(operand(operands, 0), "float32"));
    if (dtype === "f32") return (operands) => tf.cast(operand(operands, 0), "float32");
    if (dtype === "pred")
      return (operands) => tf.tidy(() => tf.notEqual(operand(operands, 0), tf.cast(tf.scalar(0), operand(operands, 0).dtype)));
    // Some backends do not truncate towards zero.
    if (inputs[0]?.dtype === "pred" || inputs[0]?.dtype === "i32") return (operands) => tf.cast(operand(operands, 0), "int32");
    return (operands) => tf.tidy(() => tf.cast(tf.mul(tf.sign(operand(operands, 0)), tf.floor(tf.abs(operand(operands, 0)))), "int32"));
  },
  native: ({ attrs: { dtype }, inputs }, native) => {
    const from = inputs[0]?.dtype ?? "f32";
    const cast = native.bind("Cast", [native.type("SrcT", from), native.type("DstT", dtype), native.bool("Truncate", false)]);
    if (dtype !== "bf16") return cast;
    const round = native.bindRoundToBf16();
    if (from === "f32" || from === "bf16") return round;
    return (operands) => {
      const wide = cast(operands);
      const result = round([wide]);
      wide.dispose();
      return result;
    };
  },
};

/** The quotient of integers is truncated towards zero, as in XLA. */
const divide: Kernel<"divide"> = {
  tfjs: ({ device: { tf }, output }) =>
    output.dtype === "i32"
      ? ([a, b]) =>
          tf.tidy(() =>
            tf.mul(
              tf.mul(tf.sign(a as DeviceTensor), tf.sign(b as DeviceTensor)),
              tf.floorDiv(tf.abs(a as DeviceTensor), tf.abs(b as DeviceTensor)),
            ),
          )
      : (inputs) => tf.div(operand(inputs, 0), operand(inputs, 1)),
  native: ({ output }, native) => native.bind(output.dtype === "i32" ? "TruncateDiv" : "RealDiv", [native.type("T", output.dtype)]),
};

export const elementwiseKernels: { readonly [N in ElementwiseName]: KernelTable[N] } = {
  negate: simple("Neg", (tf, x) => tf.neg(x)),
  exponential: simple("Exp", (tf, x) => tf.exp(x)),
  log: simple("Log", (tf, x) => tf.log(x)),
  tanh: simple("Tanh", (tf, x) => tf.tanh(x)),
  sqrt: simple("Sqrt", (tf, x) => tf.sqrt(x)),
  rsqrt: simple("Rsqrt", (tf, x) => tf.rsqrt(x)),
  cosine: simple("Cos", (tf, x) => tf.cos(x)),
  sine: simple("Sin", (tf, x) => tf.sin(x)),
  abs: simple("Abs", (tf, x) => tf.abs(x)),
  stop_gradient: simple("Identity", (_tf, x) => x.clone()),
  add: simple("AddV2", (tf, a, b) => tf.add(a, b)),
  subtract: simple("Sub", (tf, a, b) => tf.sub(a, b)),
  multiply: simple("Mul", (tf, a, b) => tf.mul(a, b)),
  divide,
  maximum: simple("Maximum", (tf, a, b) => tf.maximum(a, b)),
  minimum: simple("Minimum", (tf, a, b) => tf.minimum(a, b)),
  and: simple("LogicalAnd", (tf, a, b) => tf.logicalAnd(a, b), false),
  compare,
  convert,
  select,
};
