import type { BinaryName, CompareDirection, ElementwiseName, UnaryName } from "@lapidary/ir";
import type { DeviceTensor, TfjsCore } from "../device/tfjs.js";
import { type Kernel, type KernelTable, operand } from "./kernel.js";
import { roundToBf16 } from "./bf16.js";

/** An op of one or more operands of type `T`. */
function simple<N extends UnaryName | BinaryName | "stop_gradient" | "and" | "power" | "remainder" | "atan2">(
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

/** `a − b · trunc(a / b)`: the remainder of tfjs has the sign of `b`. */
function truncatedRemainder(tf: TfjsCore, a: DeviceTensor, b: DeviceTensor): DeviceTensor {
  return tf.tidy(() => tf.mul(tf.sign(a), tf.mod(tf.abs(a), tf.abs(b))));
}

/** tfjs has no ops on bits: the processor computes them on the arrays. */
function bitwise<N extends "bitwise_and" | "bitwise_or" | "bitwise_xor" | "shift_left" | "shift_right_arithmetic">(
  tensorflow: string,
  formula: (a: number, b: number) => number,
): Kernel<N> {
  return {
    tfjs: ({ device: { tf }, output: { dims } }) => {
      const whole = (x: DeviceTensor): Int32Array => {
        const spread = tf.broadcastTo(x, [...dims]);
        const data = spread.dataSync<"int32">();
        spread.dispose();
        return data;
      };
      return (inputs) => {
        const [a, b] = [whole(operand(inputs, 0)), whole(operand(inputs, 1))];
        return tf.tensor(
          a.map((x, i) => formula(x, b[i] ?? 0)),
          [...dims],
          "int32",
        );
      };
    },
    native: (_context, native) => native.bind(tensorflow, [native.type("T", "i32")]),
  };
}

const bitcastConvert: Kernel<"bitcast_convert"> = {
  tfjs: ({ device: { tf }, attrs: { dtype } }) => {
    return (inputs) => {
      const x = operand(inputs, 0);
      const bits = x.dataSync().slice();
      const data = dtype === "f32" ? new Float32Array(bits.buffer) : new Int32Array(bits.buffer);
      return tf.tensor(data, x.shape, dtype === "f32" ? "float32" : "int32");
    };
  },
  native: ({ attrs: { dtype }, inputs }, native) =>
    native.bind("Bitcast", [native.type("T", inputs[0]?.dtype ?? "f32"), native.type("type", dtype)]),
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
  log_plus_one: simple("Log1p", (tf, x) => tf.log1p(x)),
  exponential_minus_one: simple("Expm1", (tf, x) => tf.expm1(x)),
  erf: simple("Erf", (tf, x) => tf.erf(x)),
  erfc: simple("Erfc", (tf, x) => tf.tidy(() => tf.sub(1, tf.erf(x)))),
  floor: simple("Floor", (tf, x) => tf.floor(x)),
  stop_gradient: simple("Identity", (_tf, x) => x.clone()),
  add: simple("AddV2", (tf, a, b) => tf.add(a, b)),
  subtract: simple("Sub", (tf, a, b) => tf.sub(a, b)),
  multiply: simple("Mul", (tf, a, b) => tf.mul(a, b)),
  divide,
  maximum: simple("Maximum", (tf, a, b) => tf.maximum(a, b)),
  minimum: simple("Minimum", (tf, a, b) => tf.minimum(a, b)),
  and: simple("LogicalAnd", (tf, a, b) => tf.logicalAnd(a, b), false),
  power: simple("Pow", (tf, a, b) => tf.pow(a, b)),
  remainder: simple("TruncateMod", truncatedRemainder),
  atan2: simple("Atan2", (tf, a, b) => tf.atan2(a, b)),
  bitwise_and: bitwise("BitwiseAnd", (a, b) => a & b),
  bitwise_or: bitwise("BitwiseOr", (a, b) => a | b),
  bitwise_xor: bitwise("BitwiseXor", (a, b) => a ^ b),
  shift_left: bitwise("LeftShift", (a, b) => a << b),
  shift_right_arithmetic: bitwise("RightShift", (a, b) => a >> b),
  bitcast_convert: bitcastConvert,
  compare,
  convert,
  select,
};
