import { assert, must } from "@lapidary/std";
import { type Graph, type Phase, type Value, type ValueId, elementwiseNames, sizeOf } from "@lapidary/ir";
import type { ChipSpec } from "../chip/chip-spec.js";
import { type Kernel, transcendentals } from "./fusion.js";
import { matrixSeconds, paddedFlops, productReads, productShape, usefulFlops } from "./product.js";
import { type ComputeDtype, storedBytes } from "./storage.js";

/** What limits a kernel. */
export type Limit = "matrix" | "vector" | "hbm";

/** One kernel and its time on a chip: the roofline of its matrix, vector and HBM work. */
export interface KernelCost {
  /** The last of its values: its place in the order. */
  readonly at: ValueId;
  readonly kind: Kernel["kind"];
  /** Provenance of what it makes. */
  readonly name: string;
  readonly phase: Phase | undefined;
  readonly seconds: number;
  readonly limit: Limit;
  /** Multiply-adds × 2, as the program has them. */
  readonly flops: number;
  /** What the systolic arrays spend on them, padding included. */
  readonly paddedFlops: number;
  /** Slots of the vector unit, one an element. */
  readonly vectorOps: number;
  readonly hbmBytes: number;
}

export interface CostOptions {
  readonly chip: ChipSpec;
  readonly compute: ComputeDtype;
}

/**
 * Time of a kernel. Products and loops overlap their streams, so that the longest counts; attention does not: a block of scores waits for the matrix unit, then for the
 * vector unit.
 */
export function kernelCost(graph: Graph, kernel: Kernel, { chip, compute }: CostOptions): KernelCost {
  const at = (id: ValueId): Value => must(graph.values[id], "value");
  const last = at(must(kernel.members.at(-1), "member"));
  const visible = kernel.attention?.visible ?? 1;
  const computed = [...kernel.members, ...(kernel.attention?.again ?? [])].map(at);
  const vectorOps = computed.reduce((sum, value) => sum + vectorWork(graph, value, chip), 0) * visible;
  const products = computed.filter((value): value is Extract<Value, { op: "dot_general" }> => value.op === "dot_general");
  const flops = products.reduce((sum, value) => sum + usefulFlops(value, value.inputs.map(at)), 0) * visible;
  const padded = products.reduce((sum, value) => sum + paddedFlops(productShape(value, operandsOf(value)), chip.matrix.array), 0) * visible;
  const hbmBytes = kernel.reads.reduce((sum, id) => sum + readBytes(id), 0) + kernel.writes.reduce((sum, id) => sum + storedBytes(at(id), compute), 0);

  const matrix = matrixSeconds(padded, chip, compute);
  const vector = vectorOps / chip.vector.ops;
  const hbm = hbmBytes / (chip.hbm.bytes_per_s * chip.calibrated.hbm_efficiency);
  const core = kernel.kind === "attention" ? matrix + vector : Math.max(matrix, vector);
  return {
    at: last.id,
    kind: kernel.kind,
    name: nameOf(products[0] ?? last),
    phase: last.phase,
    seconds: Math.max(core, hbm),
    limit: hbm > core ? "hbm" : matrix >= vector ? "matrix" : "vector",
    flops,
    paddedFlops: padded,
    vectorOps,
    hbmBytes,
  };

  function operandsOf(value: Value): [Value, Value] {
    const [lhs, rhs] = value.inputs.map(at);
    assert(lhs !== undefined && rhs !== undefined, "a product has two operands", value.name);
    return [lhs, rhs];
  }

  /** A product reads its operands as often as its tiles ask for; a lookup reads rows of its table. */
  function readBytes(id: ValueId): number {
    const bytes = storedBytes(at(id), compute);
    const [product] = products;
    if (kernel.kind === "product" && product !== undefined) {
      const operands = operandsOf(product);
      const direct = product.inputs.indexOf(id);
      if (direct < 0) return bytes;
      const shape = productShape(product, operands);
      const once = operands.reduce((sum, operand) => sum + sizeOf(operand.type.dims), 0);
      const elementBytes = bytes / sizeOf(at(id).type.dims);
      return bytes * Math.max(1, productReads(shape, elementBytes, chip.vmem_bytes, chip.matrix.array) / (once * elementBytes));
    }
    if (kernel.kind === "lookup") return Math.min(bytes, storedBytes(last, compute));
    return bytes;
  }
}

/** Slots of the vector unit: one an element, more for what has no instruction. */
function vectorWork(graph: Graph, value: Value, chip: ChipSpec): number {
  if (elementwiseNames.has(value.op)) return sizeOf(value.type.dims) * (transcendentals.has(value.op) ? chip.vector.transcendental : 1);
  const [operand] = value.inputs;
  if (value.op === "reduce" && operand !== undefined) return sizeOf(must(graph.values[operand], "operand").type.dims);
  if (value.op === "slice" || value.op === "pad" || value.op === "concatenate") return sizeOf(value.type.dims);
  if (value.op === "scatter") return sizeOf(value.type.dims);
  return 0;
}

const nameOf = (value: Value): string => value.name;
