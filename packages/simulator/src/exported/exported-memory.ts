import { type AddedBuffer, type MemoryPlan, type Program, type Schedule, planMemory } from "@lapidary/compiler";
import { type Graph, type Value, type ValueId, bytesPerElement } from "@lapidary/ir";
import type { ComputeDtype } from "../cost/storage.js";
import { exportedSchedule } from "./exported-schedule.js";
import { WrittenValues } from "./written-values.js";

/**
 * Share of the HBM bandwidth that one array of a loop reaches by the estimates of the TPU compiler: a loop that only reads one array, as a
 * reduction does, takes as long as a loop that copies it.
 */
export const exportedStreamShare = 0.5;

/** A memory plan, and the values in the order whose positions are its steps. */
export interface OrderedMemory {
  readonly plan: MemoryPlan;
  readonly order: readonly ValueId[];
}

/**
 * The memory of a chip if XLA compiles the exported step: its buffers, types, layouts and order.
 *
 * @param limit bytes that the program can use: some orders are used only if the step fits with them
 */
export function exportedMemory(program: Program, compute: ComputeDtype, limit: number): OrderedMemory {
  const written = new WrittenValues(program.chip);
  const ample = memoryInOrder(program, compute, written, exportedSchedule(program, written, "ample"));
  if (ample.plan.peakBytes <= limit) return ample;
  return memoryInOrder(program, compute, written, exportedSchedule(program, written, "scarce"));
}

function memoryInOrder({ chip }: Program, compute: ComputeDtype, written: WrittenValues, schedule: Schedule): OrderedMemory {
  const added = [...copiesOfWeights(chip, schedule, written), ...windowsOfCollectives(chip, schedule, written, compute)];
  const bytes = (value: Value): number => tiledBytes(value, elementBytes(written, value, compute));
  const fused = chip.values.map((value) => value.op !== "parameter" && !written.isWritten(value.id));
  const withoutGaps = planMemory(chip, schedule, { added, bytes, fused });
  const plan = planMemory(chip, schedule, { added: [...added, ...gaps(withoutGaps, schedule)], bytes, fused });
  return { plan, order: schedule.order };
}

/**
 * The compiler gives each array a fixed address, so there are gaps between arrays. They are this share of the temporaries: the median over
 * the rows of `tools/calibrate/xla` from which the rules were derived, where it ranges up to 0.07.
 */
const gapShare = 0.03;

function gaps({ buffers, peakStep, peakBytes }: MemoryPlan, { order }: Schedule): AddedBuffer[] {
  const value = order[peakStep];
  if (value === undefined) return [];
  const states = buffers.reduce((sum, { from, to, bytes }) => (from < 0 && to >= peakStep ? sum + bytes : sum), 0);
  return [{ value, bytes: Math.ceil(gapShare * (peakBytes - states)), from: peakStep, to: peakStep }];
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
 * A reduce_scatter on the torus sums in a window of the size of its result, while its operand is in memory. A gather in bf16 reads a
 * converted copy of the shard.
 */
function windowsOfCollectives(graph: Graph, { order }: Schedule, written: WrittenValues, compute: ComputeDtype): AddedBuffer[] {
  return order.flatMap((id, step) => {
    const value = written.at(id);
    const type = elementBytes(written, value, compute);
    if (value.op === "reduce_scatter") return [{ value: id, bytes: tiledBytes(value, type), from: step, to: step }];
    const [shard] = value.inputs;
    if (value.op !== "all_gather" || shard === undefined || type === bytesPerElement[value.type.dtype]) return [];
    return [{ value: id, bytes: tiledBytes(written.at(shard), type), from: step, to: step }];
  });
}

/** The bytes of a value in HBM if XLA compiles the exported step. */
export function exportedBytes(graph: Graph, compute: ComputeDtype): (value: Value) => number {
  const written = new WrittenValues(graph);
  return (value) => tiledBytes(value, elementBytes(written, value, compute));
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
