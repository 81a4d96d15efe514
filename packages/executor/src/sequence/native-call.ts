import { type TensorType, sizeOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { Device } from "../device/device.js";
import type { FusedCall } from "../fusion/index.js";
import { encodeFewRows, planFewRows } from "../kernels/few-rows.js";
import type { KernelContext, KernelName } from "../kernels/index.js";
import { isContiguous } from "../kernels/placement.js";
import { uniformIndices } from "../kernels/structure.js";
import type { NodeId, PlanNode, PlanNodeOf } from "../plan/plan.js";
import { type Strided, stridedCopy, stridedCall } from "./strided.js";

/** The kinds of calls, as `CallKind` of cpp/kernels/sequence.h numbers them. */
export const callKind = { fused: 0, dot: 1, updateSlice: 2, slice: 3, gather: 4, reduce: 5, strided: 6, uniform: 7 } as const;

/** One kernel of a sequence. */
export interface NativeCall {
  readonly kind: (typeof callKind)[keyof typeof callKind];
  /** Nodes, or integers that are the same in every run. */
  readonly operands: readonly (NodeId | Int32Array)[];
  readonly results: readonly NodeId[];
  readonly numbers: readonly number[];
}

/** The data of a kernel node. */
export type NodeContext = Pick<
  KernelContext<KernelName>,
  "inputs" | "output" | "inputPlacements" | "outputPlacement" | "fewRows" | "leftOp"
>;

/** A fused kernel as a call. */
export const fusedNativeCall = (device: Device, call: FusedCall): NativeCall => ({
  kind: callKind.fused,
  operands: call.inputs,
  results: call.outputs,
  numbers: [ensure(device.fused, "fused kernels").register(call)],
});

/**
 * The call of a kernel node. `"view"`: the node has the memory of its operand. Undefined: sequences have no such kernel.
 *
 * @param context computes the data of the node, which only some kernels need
 */
export function nativeCall(device: Device, node: PlanNode, context: () => NodeContext): NativeCall | "view" | undefined {
  const { inputs, output } = context();
  if ([...inputs, output].some(({ dtype }) => dtype === "bf16")) return undefined;
  const call = (kind: NativeCall["kind"], numbers: readonly number[], operands: NativeCall["operands"] = node.inputs): NativeCall => ({
    kind,
    operands,
    results: [node.id],
    numbers,
  });
  const strided = (found: Strided | undefined): NativeCall | undefined =>
    found === undefined ? undefined : call(callKind.strided, found, node.inputs);
  switch (node.op) {
    case "reshape":
      return "view";
    case "stop_gradient":
    case "broadcast_in_dim":
    case "transpose":
    case "slice":
      return strided(stridedCopy(node, typeAt(inputs, 0), output));
    case "dot_general": {
      const dot = dotOf(node, inputs, context());
      return dot === undefined ? undefined : call(callKind.dot, [ensure(device.native, "native ops").registerDot(dot)]);
    }
    case "dynamic_update_slice": {
      const { dimension } = node.attrs;
      return output.dtype === "pred" ? undefined : call(callKind.updateSlice, sizesAround(output.dims, dimension));
    }
    case "dynamic_slice": {
      const { dimension, size } = node.attrs;
      return output.dtype === "pred" ? undefined : call(callKind.slice, [...sizesAround(typeAt(inputs, 0).dims, dimension), size]);
    }
    case "gather":
      return gatherCall(node, context(), call);
    case "reduce":
      return reduceCall(node, inputs, call);
    case "rng_uniform":
      return call(callKind.uniform, [], [ensure(node.inputs[0], "key"), ...uniformIndices(output.dims, context().outputPlacement)]);
    default:
      return strided(stridedCall(node, inputs, output));
  }
}

const typeAt = (types: readonly TensorType[], i: number): TensorType => ensure(types[i], "operand");

/** The size of a dim, and the number of elements after it. */
const sizesAround = (dims: readonly number[], dimension: number): [whole: number, inner: number] => [
  ensure(dims[dimension], "dim"),
  sizeOf(dims.slice(dimension + 1)),
];

type MakeCall = (kind: NativeCall["kind"], numbers: readonly number[]) => NativeCall;

function dotOf(
  node: PlanNodeOf<"dot_general">,
  [left, right]: readonly TensorType[],
  { output, fewRows = false, leftOp }: NodeContext,
): Int32Array | undefined {
  const plan = fewRows ? planFewRows(node.attrs, left?.dims ?? [], right?.dims ?? []) : undefined;
  return plan === undefined ? undefined : encodeFewRows(plan, output.dims, leftOp);
}

function gatherCall(node: PlanNodeOf<"gather">, { inputs, inputPlacements, output }: NodeContext, call: MakeCall): NativeCall | undefined {
  const [rows = 1, ...rest] = typeAt(inputs, 0).dims;
  const positions = inputPlacements[0]?.positions(0) ?? new Int32Array();
  if (node.attrs.batch !== undefined || !isContiguous(positions) || output.dtype === "pred") return undefined;
  return call(callKind.gather, [positions[0] ?? 0, rows, sizeOf(rest)]);
}

/** Reductions over consecutive dims, except sums of floats, whose order is that of fused kernels. */
function reduceCall({ attrs }: PlanNodeOf<"reduce">, inputs: readonly TensorType[], call: MakeCall): NativeCall | undefined {
  const { dtype, dims } = typeAt(inputs, 0);
  const reduced = attrs.dims.filter((d) => dims[d] !== 1).sort((a, b) => a - b);
  const [first = 0, last = -1] = [reduced[0], reduced.at(-1)];
  const areNeighbours = dims.every((size, d) => size === 1 || d < first || d > last || reduced.includes(d));
  if (dtype === "pred" || (dtype === "f32" && attrs.kind === "sum") || !areNeighbours) return undefined;
  const kind = { sum: 0, max: 1, min: 2 }[attrs.kind];
  return call(callKind.reduce, [kind, sizeOf(dims.slice(0, first)), sizeOf(dims.slice(first, last + 1)), sizeOf(dims.slice(last + 1))]);
}
