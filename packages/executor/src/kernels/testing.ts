import {
  type Dtype,
  type Graph,
  type GraphBuilder,
  type Interval,
  type Tensor,
  type TensorType,
  type Value,
  anywhere,
  forEachRun,
  parametersOf,
  sizeOf,
  tensor,
} from "@lapidary/ir";
import { type Random, ensure } from "@lapidary/std";
import { type ArrayData, arrayOf } from "@lapidary/protocol";
import type { Device } from "../device/device.js";
import type { DeviceTensor } from "../device/tfjs.js";
import { type KernelContext, type KernelName, type Numerics, bindKernel } from "./index.js";
import { type Placement, wholePlacement } from "./placement.js";

/** Helpers of this package's tests. */

export const toArrayData = (x: Tensor): ArrayData =>
  arrayOf(x.dtype, x.dims, x.dtype === "i32" || x.dtype === "pred" ? Int32Array.from(x.data) : Float32Array.from(x.data));

export const toTensor = (x: ArrayData): Tensor => tensor(x.dtype, x.dims, Float64Array.from(x.data));

/** Runs the kernel of one value of a graph on given operands. */
function runKernel(
  device: Device,
  graph: Graph,
  value: Value,
  operands: readonly DeviceTensor[],
  numerics: Numerics = "f32",
  placements?: { inputs: readonly Placement[]; output: Placement },
): DeviceTensor {
  const kept: DeviceTensor[] = [];
  const inputs = value.inputs.map((id) => ensure(graph.values[id], "operand").type);
  const context = {
    device,
    attrs: value.attrs,
    inputs,
    output: value.type,
    numerics,
    inputPlacements: placements?.inputs ?? inputs.map((type) => wholePlacement(type.dims)),
    outputPlacement: placements?.output ?? wholePlacement(value.type.dims),
    keep: (x: DeviceTensor) => {
      kept.push(x);
      return x;
    },
  } as KernelContext<KernelName>;
  const result = bindKernel(value.op as KernelName, context)([...operands]);
  for (const x of kept) x.dispose();
  return result;
}

/** Evaluates a global graph value by value, each with its kernel alone. */
export function evaluateByKernels(
  device: Device,
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  numerics: Numerics = "f32",
): Map<string, Tensor> {
  const results: DeviceTensor[] = [];
  forEachRun(graph, (value, again) => {
    const operands = value.inputs.map((id) => ensure(results[id], "operand"));
    results[value.id]?.dispose();
    if (again !== undefined) results[value.id] = ensure(results[again], "result of the iteration before").clone();
    else if (value.op === "parameter") {
      const given = toArrayData(ensure(inputs.get(value.attrs.name), value.attrs.name));
      results[value.id] = device.upload(given.dtype, given.dims, given.data);
    } else results[value.id] = runKernel(device, graph, value, operands, numerics);
  });
  const outputs = new Map(
    graph.outputs.map(({ name, value }) => {
      const { dtype, dims } = ensure(graph.values[value], name).type;
      return [name, tensor(dtype, dims, Float64Array.from(device.download(ensure(results[value], name))))];
    }),
  );
  for (const x of results) x.dispose();
  return outputs;
}

/** Maps the interval from -2 to 2 of `x` linearly to another interval. */
export function within(g: GraphBuilder, x: Value, [low, high]: Interval): Value {
  const [from, to] = anywhere;
  const factor = (high - low) / (to - from);
  return factor === 1 && low === from ? x : g.offset(g.scale(x, factor), low - from * factor);
}

export function randomArray(random: Random, type: TensorType, below = 4): Tensor {
  const draw: Record<Dtype, () => number> = {
    f32: () => Math.fround((random.next() - 0.5) * 3),
    bf16: () => Math.round((random.next() - 0.5) * 64) / 32,
    i32: () => random.integer(below),
    pred: () => random.integer(2),
  };
  return tensor(type.dtype, type.dims, Float64Array.from({ length: sizeOf(type.dims) }, draw[type.dtype]));
}

export const randomInputsOf = (random: Random, graph: Graph): Map<string, Tensor> =>
  new Map(parametersOf(graph).map(({ attrs, type }) => [attrs.name, randomArray(random, type)]));

/** The largest difference relative to the size of the numbers; infinite if the dims differ or if only one of two numbers is NaN. */
export function difference(a: Tensor, b: Tensor): number {
  if (a.dims.join() !== b.dims.join()) return Infinity;
  let worst = 0;
  a.data.forEach((x, i) => {
    const y = b.data[i] ?? NaN;
    if (Object.is(x, y) || x === y) return;
    const d = Math.abs(x - y) / Math.max(1, Math.abs(x), Math.abs(y));
    worst = Number.isNaN(d) ? Infinity : Math.max(worst, d);
  });
  return worst;
}

/** The largest difference relative to the largest number of the arrays. */
export function scaledDifference(a: Tensor, b: Tensor): number {
  if (a.dims.join() !== b.dims.join()) return Infinity;
  let [worst, scale] = [0, 1];
  a.data.forEach((x, i) => {
    const y = b.data[i] ?? NaN;
    scale = Math.max(scale, Math.abs(y));
    if (!(Object.is(x, y) || x === y)) worst = Math.max(worst, Number.isNaN(x - y) ? Infinity : Math.abs(x - y));
  });
  return worst / scale;
}
