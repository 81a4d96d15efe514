import { type AddedBuffer, type MemoryPlan, type Program, type Schedule, planMemory } from "@lapidary/compiler";
import { ensure } from "@lapidary/std";
import { type Graph, type Value, type ValueId, bytesPerElement, sizeOf } from "@lapidary/ir";
import { type Torus, chipCount, meshSize } from "@lapidary/topology";
import type { ComputeDtype } from "../cost/storage.js";
import { exportedSchedule } from "./exported-schedule.js";
import { isReplacedByAllReduce } from "./replaced-collectives.js";
import { WrittenValues } from "./written-values.js";

/**
 * Share of the HBM bandwidth that one array of a loop reaches by the estimates of the TPU compiler: a loop that only reads one array, as a
 * reduction does, takes as long as a loop that copies it.
 */
export const exportedStreamShare = 0.5;

/** Largest error of the peak of `exportedMemory` in the compiled jobs of `tools/calibrate/xla`, as a share of the compiler's peak. */
export const exportedMemoryError = 0.1;

/** A memory plan, and the values in the order whose positions are its steps. */
export interface OrderedMemory {
  readonly plan: MemoryPlan;
  readonly order: readonly ValueId[];
}

export interface ExportedMemoryOptions {
  readonly compute: ComputeDtype;
  /** Bytes that the program can use: some orders are used only if the step fits with them. */
  readonly limit: number;
  /** The chips of each slice. */
  readonly torus: Torus;
}

/** The memory of a chip if XLA compiles the exported step: its buffers, types, layouts and order. */
export function exportedMemory(program: Program, options: ExportedMemoryOptions): OrderedMemory {
  const written = new WrittenValues(program.chip);
  const isOneSlice = meshSize(program.mesh) === chipCount(options.torus);
  const isAllReduced = (value: Value): boolean => isOneSlice && isReplacedByAllReduce(value, options.torus);
  const inOrder = (memory: "ample" | "scarce"): OrderedMemory =>
    memoryInOrder(program.chip, options.compute, written, exportedSchedule(program, written, memory, isAllReduced), isAllReduced);
  const ample = inOrder("ample");
  return ample.plan.peakBytes <= options.limit ? ample : inOrder("scarce");
}

function memoryInOrder(
  chip: Graph,
  compute: ComputeDtype,
  written: WrittenValues,
  schedule: Schedule,
  isAllReduced: (value: Value) => boolean,
): OrderedMemory {
  const added = [...copiesOfWeights(chip, schedule, written), ...windowsOfCollectives(chip, schedule, written, compute, isAllReduced)];
  const bytes = (value: Value): number => {
    const stored = isAllReduced(value) ? written.at(ensure(value.inputs[0], "operand")) : value;
    return tiledBytes(stored, elementBytes(written, value, compute));
  };
  const fused = chip.values.map((value) => value.op !== "parameter" && !written.isWritten(value.id));
  const overwrites = (value: Value): readonly ValueId[] => written.overwritable(value);
  const withoutGaps = planMemory(chip, schedule, { added, bytes, fused, overwrites });
  const plan = planMemory(chip, schedule, { added: [...added, ...gaps(withoutGaps, schedule)], bytes, fused, overwrites });
  return { plan, order: schedule.order };
}

/**
 * The compiler gives each array a fixed address in the order of first steps: that of the smallest gap that is large enough. Gaps in which no later
 * array fits are lost. `arenaBytes` of a memory plan counts them, because it places buffers by the same rule.
 */
function gaps({ peakStep, peakBytes, arenaBytes }: MemoryPlan, { order }: Schedule): AddedBuffer[] {
  const value = order[peakStep];
  return value === undefined ? [] : [{ value, bytes: arenaBytes - peakBytes, from: peakStep, to: peakStep }];
}

/**
 * A weight whose next state is gathered (ZeRO 1 and 2): the gather writes into the buffer of the weight while shards of the old weight are
 * still read. So the compiler copies the weight at the begin of the step.
 */
function copiesOfWeights(graph: Graph, { order }: Schedule, written: WrittenValues): AddedBuffer[] {
  const states = new Map(graph.values.flatMap((value) => (value.op === "parameter" ? [[value.attrs.name, value] as const] : [])));
  return graph.outputs.flatMap(({ name, value }) => {
    const state = states.get(name);
    if (state === undefined || written.at(value).op !== "all_gather") return [];
    return [{ value: state.id, bytes: tiledBytes(state, bytesPerElement[state.type.dtype]), from: 0, to: order.indexOf(value) }];
  });
}

/**
 * A reduce_scatter on the torus sums in a window of the size of its result, while its operand is in memory. A gather in bf16 reads a copy of the
 * shard, which is converted before the gather starts.
 */
function windowsOfCollectives(
  graph: Graph,
  { order }: Schedule,
  written: WrittenValues,
  compute: ComputeDtype,
  isAllReduced: (value: Value) => boolean,
): AddedBuffer[] {
  return order.flatMap((id, step) => {
    const value = written.at(id);
    const type = elementBytes(written, value, compute);
    if (value.op === "reduce_scatter" && !isAllReduced(value)) return [{ value: id, bytes: tiledBytes(value, type), from: step, to: step }];
    const [shard] = value.inputs;
    if (value.op !== "all_gather" || shard === undefined || type === bytesPerElement[value.type.dtype]) return [];
    return [{ value: id, bytes: tiledBytes(written.at(shard), type), from: Math.max(0, step - 1), to: step }];
  });
}

/** The bytes of a value in HBM if XLA compiles the exported step. */
export function exportedBytes(graph: Graph, compute: ComputeDtype): ExportedBytes {
  const written = new WrittenValues(graph);
  const of = (value: Value): number => elementBytes(written, value, compute);
  return {
    tiled: (value) => tiledBytes(value, of(value)),
    elements: (value) => sizeOf(value.type.dims) * of(value),
  };
}

/** Bytes of a value, with its padding in HBM (`tiled`) or without it. */
interface ExportedBytes {
  readonly tiled: (value: Value) => number;
  readonly elements: (value: Value) => number;
}

/** The module has f32 values. XLA writes those that only matmuls read in the type in which the matrix unit reads them. */
function elementBytes(written: WrittenValues, value: Value, compute: ComputeDtype): number {
  const bytes = bytesPerElement[value.type.dtype];
  if (compute !== "bf16" || value.type.dtype !== "f32" || value.op === "parameter" || written.isOutput(value.id)) return bytes;
  return isReadByMatmulsOnly(written, value) ? 2 : bytes;
}

function isReadByMatmulsOnly(written: WrittenValues, value: Value): boolean {
  const readers = written.readers(value.id).map((id) => written.at(id));
  return (
    readers.length > 0 &&
    readers.every((reader) => reader.op === "dot_general" || (reader.op === "all_gather" && isReadByMatmulsOnly(written, reader)))
  );
}

/** Rows of 8 and columns of 128 fill a tile. The compiler chooses the order of dims that needs the fewest tiles. */
function tiledBytes({ type: { dims } }: Value, elementBytes: number): number {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const large = dims.filter((dim) => dim > 1).sort((a, b) => b - a);
  const [first = 1, second] = large;
  if (second === undefined) return Math.ceil(first / 128) * 128 * elementBytes;
  let best = Infinity;
  for (const [i, columns] of large.entries())
    for (const [j, rows] of large.entries())
      if (i !== j) best = Math.min(best, (size / (columns * rows)) * pad(columns, 128) * pad(rows, 8));
  return best * elementBytes;
}

const pad = (size: number, tile: number): number => Math.ceil(size / tile) * tile;
