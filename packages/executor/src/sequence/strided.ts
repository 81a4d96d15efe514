import { type BinaryName, type Dtype, type OpName, type TensorType, sizeOf } from "@lapidary/ir";
import { opcodeOf } from "@lapidary/native";
import { ensure } from "@lapidary/std";
import type { PlanNode } from "../plan/plan.js";

/** Operations that are not opcodes of fused kernels: `Operation` of cpp/kernels/sequence.h. */
const operation = { convert: 100, copy: 101 } as const;

/** Maximum number of dims, those of 1 not counted. */
const maxRank = 8;

/** Operation, rank, dims of the result, and for each operand its first element and the strides. */
export type Strided = readonly number[];

/** An elementwise op on operands of any strides. Fused kernels compute most ops on f32. Undefined for other ops. */
export function stridedCall(node: PlanNode, inputs: readonly TensorType[], output: TensorType): Strided | undefined {
  const code = codeOf(node, inputs, output);
  if (code === undefined) return undefined;
  return encode(
    code,
    output.dims,
    inputs.map(({ dims }) => ({ first: 0, strides: broadcastStrides(dims, output.dims) })),
  );
}

/** A copy of an array, or of a part of it, in another order of dims. Undefined for other ops. */
export function stridedCopy(node: PlanNode, { dims }: TensorType, output: TensorType): Strided | undefined {
  const strides = stridesOf(dims);
  switch (node.op) {
    case "stop_gradient":
      return encode(operation.copy, output.dims, [{ first: 0, strides }]);
    case "broadcast_in_dim": {
      const { broadcastDimensions } = node.attrs;
      const spread = output.dims.map((_, d) => (broadcastDimensions.includes(d) ? (strides[broadcastDimensions.indexOf(d)] ?? 0) : 0));
      return encode(operation.copy, output.dims, [{ first: 0, strides: spread }]);
    }
    case "transpose":
      return encode(operation.copy, output.dims, [{ first: 0, strides: node.attrs.permutation.map((p) => strides[p] ?? 0) }]);
    case "slice":
      return encode(operation.copy, output.dims, [
        { first: node.attrs.start.reduce((sum, start, d) => sum + start * (strides[d] ?? 0), 0), strides },
      ]);
    default:
      return undefined;
  }
}

const arithmetic = ["add", "subtract", "multiply", "maximum", "minimum"] as const satisfies readonly BinaryName[];
const namesOf: Readonly<Partial<Record<Dtype, readonly OpName[]>>> = { i32: arithmetic, f32: [...arithmetic, "divide"] };

function codeOf(node: PlanNode, inputs: readonly TensorType[], output: TensorType): number | undefined {
  switch (node.op) {
    case "compare":
      return opcodeOf(node.attrs.direction);
    case "select":
    case "and":
      return opcodeOf(node.op);
    case "convert":
      return operation.convert;
    default:
      if (namesOf[output.dtype]?.includes(node.op) !== true || inputs.some(({ dtype }) => dtype !== output.dtype)) return undefined;
      return opcodeOf(node.op);
  }
}

interface OperandLayout {
  readonly first: number;
  /** One for each dim of the result. */
  readonly strides: readonly number[];
}

function encode(code: number, dims: readonly number[], operands: readonly OperandLayout[]): Strided | undefined {
  const large = dims.map((_, d) => d).filter((d) => dims[d] !== 1);
  if (large.length > maxRank) return undefined;
  const kept = large.length > 0 ? large.map((d) => ensure(dims[d], "dim")) : [1];
  const stridesIn = ({ strides }: OperandLayout): number[] => (large.length > 0 ? large.map((d) => strides[d] ?? 0) : [0]);
  return [code, kept.length, ...kept, ...operands.flatMap((operand) => [operand.first, ...stridesIn(operand)])];
}

/** The strides of a contiguous array, 0 along dims of 1. */
const stridesOf = (dims: readonly number[]): number[] => dims.map((size, d) => (size === 1 ? 0 : sizeOf(dims.slice(d + 1))));

/** The strides of an operand over the dims of the result. An operand of fewer dims has the last ones. */
function broadcastStrides(dims: readonly number[], result: readonly number[]): number[] {
  const strides = stridesOf(dims);
  return result.map((_, d) => strides[d - (result.length - dims.length)] ?? 0);
}
