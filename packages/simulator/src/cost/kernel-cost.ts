import { ensure } from "@lapidary/std";
import { type Graph, type Scope, type Value, type ValueId, type ValueRole, makeScope, ops, sizeOf } from "@lapidary/ir";
import type { ChipSpec } from "../chip/chip-spec.js";
import type { Kernel } from "./fusion.js";
import { type MatmulValue, isMatmul, matrixSeconds, paddedFlops, matmulReads, matmulShape, readShare, usefulFlops } from "./matmul.js";
import type { ComputeDtype } from "./storage.js";

/** The resource that limits a kernel. */
type Limit = "matrix" | "vector" | "hbm";

/** The work of a kernel, without its time on a chip. */
export interface KernelWork {
  /** The last of its values, which is its position in the order. */
  readonly at: ValueId;
  readonly kind: Kernel["kind"];
  /** Provenance of its result. */
  readonly name: string;
  /** Block of the named value, and the pass in which the kernel runs. */
  readonly scope: Scope;
  readonly role: ValueRole | undefined;
  /** Multiply-adds × 2 of the program. */
  readonly flops: number;
  /** Multiply-adds × 2 on the systolic arrays, padding included. */
  readonly paddedFlops: number;
  /** Slots of the vector unit, one per element. */
  readonly vectorOps: number;
  readonly hbmBytes: number;
  /** The part of them that belongs to one array. */
  readonly largestStream: number;
}

/** The work of a kernel with its time on a chip: the roofline of its matrix, vector and HBM work. */
export interface KernelCost extends KernelWork {
  readonly seconds: number;
  readonly limit: Limit;
}

export interface CostOptions {
  readonly chip: ChipSpec;
  readonly compute: ComputeDtype;
  /** Share of the HBM bandwidth that the stream of one array of a loop reaches: 1 by default. */
  readonly streamShare?: number;
}

/**
 * Time of a kernel. Matmuls and loops overlap their streams, so that the longest stream decides. In attention the matrix and the
 * vector unit process a block of scores one after the other.
 */
export function kernelCost(work: KernelWork, { chip, compute, streamShare = 1 }: CostOptions): KernelCost {
  const matrix = matrixSeconds(work.paddedFlops, chip, compute);
  const vector = work.vectorOps / (chip.vector.ops * chip.calibrated.vector_efficiency);
  const streamed = work.kind === "loop" ? work.largestStream / streamShare : 0;
  const hbm = Math.max(work.hbmBytes, streamed) / (chip.hbm.bytes_per_s * chip.calibrated.hbm_efficiency);
  const core = work.kind === "attention" ? matrix + vector : Math.max(matrix, vector);
  return { ...work, seconds: Math.max(core, hbm), limit: hbm > core ? "hbm" : matrix >= vector ? "matrix" : "vector" };
}

/** What the work of a kernel depends on. */
export interface WorkOptions {
  readonly chip: ChipSpec;
  /** Bytes of a value in HBM. */
  readonly bytes: (value: Value) => number;
}

/** The work of a kernel on a chip with the arrays and the vector memory of `chip`. */
export function kernelWork(graph: Graph, kernel: Kernel, { chip, bytes: storedBytes }: WorkOptions): KernelWork {
  const at = (id: ValueId): Value => ensure(graph.values[id], "value");
  const last = at(ensure(kernel.members.at(-1), "member"));
  const visible = kernel.attention?.visible ?? 1;
  const computed = [...kernel.members, ...(kernel.attention?.recomputed ?? [])].map(at);
  const matmuls = computed.filter(isMatmul);
  const named = matmuls[0] ?? last;
  const sum = (each: (value: MatmulValue) => number): number => matmuls.reduce((total, value) => total + each(value), 0) * visible;
  const streams = [...kernel.reads.map(readBytes), ...kernel.writes.map((id) => storedBytes(at(id)))];
  return {
    at: last.id,
    kind: kernel.kind,
    name: named.name,
    scope: makeScope({ ...named.scope, phase: last.scope.phase, line: undefined }),
    role: named.role,
    flops: sum((value) => usefulFlops(value, value.inputs.map(at))),
    paddedFlops: sum((value) => paddedFlops(matmulShape(value, value.inputs.map(at)), chip.matrix.array)),
    vectorOps: computed.reduce((total, value) => total + vectorWork(graph, value, chip), 0) * visible,
    hbmBytes: streams.reduce((total, bytes) => total + bytes, 0),
    largestStream: Math.max(0, ...streams),
  };

  /** A matmul reads its operands as often as its tiles require; a lookup reads rows of its table. */
  function readBytes(id: ValueId): number {
    const bytes = storedBytes(at(id));
    const [matmul] = matmuls;
    if (kernel.kind === "product" && matmul !== undefined) {
      const direct = matmul.inputs.findIndex((input) => input === id || (at(input).op === "convert" && at(input).inputs[0] === id));
      if (direct < 0 || direct > 1) return bytes;
      const shape = matmulShape(matmul, matmul.inputs.map(at));
      const once = shape.batch * (shape.m * shape.k + shape.k * shape.n);
      const elementBytes = bytes / sizeOf(at(id).type.dims);
      return (
        bytes *
        readShare(matmul, direct) *
        Math.max(1, matmulReads(shape, elementBytes, chip.vmem_bytes, chip.matrix.array) / (once * elementBytes))
      );
    }
    if (kernel.kind === "lookup") return Math.min(bytes, storedBytes(last));
    return bytes;
  }
}

/** Slots of the vector unit: one per element, more for an op without an instruction. */
function vectorWork(graph: Graph, value: Value, chip: ChipSpec): number {
  const { vectorWork: elements, transcendental } = ops[value.op];
  if (elements === "none") return 0;
  const { type } = elements === "result" ? value : ensure(graph.values[ensure(value.inputs[0], "operand")], "operand");
  return sizeOf(type.dims) * (transcendental ? chip.vector.transcendental : 1);
}
