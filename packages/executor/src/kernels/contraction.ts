import { sameDims } from "@lapidary/ir";
import type { Bound, NativeOps } from "../device/native-ops.js";
import { roundToBf16 } from "./bf16.js";
import { encodeFewRows, planFewRows } from "./few-rows.js";
import { type GemmOperand, dotGroups, planDot } from "./dot-plan.js";
import { type Kernel, type KernelContext, type KernelTable, chain, operand, vector } from "./kernel.js";
import { bindReshape, bindTranspose, isViewTranspose } from "./shape.js";

const reduce: Kernel<"reduce"> = {
  tfjs: ({ device: { tf }, attrs: { dims, kind } }) => {
    const axes = [...dims];
    if (kind === "sum") return (inputs) => tf.sum(operand(inputs, 0), axes);
    if (kind === "max") return (inputs) => tf.max(operand(inputs, 0), axes);
    return (inputs) => tf.min(operand(inputs, 0), axes);
  },
  native: (context, native) => {
    const name = { sum: "Sum", max: "Max", min: "Min" }[context.attrs.kind];
    return native.bind(
      name,
      [native.bool("keep_dims", false), native.type("T", context.output.dtype), native.type("Tidx", "i32")],
      [vector(context, context.attrs.dims)],
    );
  },
};

/** Binds any `dot_general` as one matmul. It transposes operands first if the layout requires it. */
function bindDot(context: KernelContext<"dot_general">, native: NativeOps | undefined): Bound {
  const { attrs, inputs, output, numerics, device } = context;
  const plan = planDot(
    dotGroups(attrs, inputs[0]?.dims.length ?? 0, inputs[1]?.dims.length ?? 0),
    inputs[0]?.dims ?? [],
    inputs[1]?.dims ?? [],
  );
  const left = prepare(context, native, plan.lhs, 0);
  const right = prepare(context, native, plan.rhs, 1);
  const multiply = bindMatMul(context, native, plan.lhs.adjoint, plan.rhs.adjoint);
  const product: Bound =
    left === undefined && right === undefined
      ? multiply
      : (operands) => {
          const a = left === undefined ? operand(operands, 0) : left([operand(operands, 0)]);
          const b = right === undefined ? operand(operands, 1) : right([operand(operands, 1)]);
          const result = multiply([a, b]);
          if (left !== undefined) a.dispose();
          if (right !== undefined) b.dispose();
          return result;
        };
  const shaped = sameDims(plan.dims, output.dims) ? product : chain(product, bindReshape(context, native, output.dims));
  if (numerics === "f32" || roundsOperands(context, native) || device.matmulRoundsToBf16) return shaped;
  const round =
    native === undefined ? (operands: Parameters<Bound>[0]) => roundToBf16(device, operand(operands, 0).clone()) : native.bindRoundToBf16();
  return (operands) => {
    const rounded = operands.map((x) => round([x]));
    const result = shaped([...rounded]);
    for (const x of rounded) x.dispose();
    return result;
  };
}

/** Brings an operand to the dims of the matmul. Undefined if the operand has them. */
function prepare(
  context: KernelContext<"dot_general">,
  native: NativeOps | undefined,
  { permutation, dims }: GemmOperand,
  which: number,
): Bound | undefined {
  const own = context.inputs[which]?.dims ?? [];
  const reshaped = sameDims(own, dims) && permutation === undefined ? undefined : bindReshape(context, native, dims);
  if (permutation === undefined || isViewTranspose(own, permutation)) return reshaped;
  const transposed = bindTranspose(context, native, permutation);
  return sameDims(
    dims,
    permutation.map((d) => own[d] ?? 1),
  ) || reshaped === undefined
    ? transposed
    : chain(transposed, reshaped);
}

/** Whether the native matmul rounds its operands to bf16 when it reads them. */
const roundsOperands = ({ device, numerics }: KernelContext<"dot_general">, native: NativeOps | undefined): boolean =>
  numerics === "mxu" && native !== undefined && device.hasBf16Matmul;

function bindMatMul(
  context: KernelContext<"dot_general">,
  native: NativeOps | undefined,
  adjointLeft: boolean,
  adjointRight: boolean,
): Bound {
  const { tf } = context.device;
  const rounds = roundsOperands(context, native);
  if (native !== undefined && (rounds || context.device.hasFastMatmul))
    return native.bindMatMul({ adj_x: adjointLeft, adj_y: adjointRight, bf16: rounds });
  if (native !== undefined)
    return native.bind("BatchMatMulV2", [native.bool("adj_x", adjointLeft), native.bool("adj_y", adjointRight), native.type("T", "f32")]);
  return (inputs) => tf.matMul(operand(inputs, 0), operand(inputs, 1), adjointLeft, adjointRight);
}

const dotGeneral: Kernel<"dot_general"> = {
  tfjs: (context) => bindDot(context, undefined),
  native: (context, native) => {
    const { attrs, inputs, output, fewRows = false } = context;
    const plan = fewRows ? planFewRows(attrs, inputs[0]?.dims ?? [], inputs[1]?.dims ?? []) : undefined;
    return plan === undefined ? bindDot(context, native) : native.bindDot(encodeFewRows(plan, output.dims, context.leftOp));
  },
};

export const contractionKernels: { readonly [N in "reduce" | "dot_general"]: KernelTable[N] } = { reduce, dot_general: dotGeneral };
