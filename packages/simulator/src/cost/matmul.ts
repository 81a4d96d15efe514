import { type OpName, type Value, dotLayout, opDef, ops, sizeOf } from "@lapidary/ir";
import { ensure } from "@lapidary/std";
import type { ChipSpec } from "../chip/chip-spec.js";
import type { ComputeDtype } from "./storage.js";

/** A batched matmul: [b, m, k] · [b, k, n]. */
export interface MatmulShape {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** The ops that are matmuls. */
export type MatmulValue = Extract<Value, { op: "dot_general" | "ragged_dot" | "ragged_contract" }>;

export const isMatmul = (value: Value): value is MatmulValue => ops[value.op].kernel === "product";

const sizeOfDims = (of: Value, dims: readonly number[]): number => dims.reduce((n, d) => n * (of.type.dims[d] ?? 1), 1);

/** The shape of a matmul. Of groups of rows, it has the rows that are expected to have a group, in equal parts. */
export function matmulShape(value: MatmulValue, inputs: readonly Value[]): MatmulShape {
  const [lhs, rhs, sizes] = inputs as [Value, Value, Value | undefined];
  if (value.op !== "dot_general") return raggedShape(value, lhs, rhs, ensure(sizes, "sizes"));
  const { batch, contracting } = value.attrs;
  const { lhsFree, rhsFree } = dotLayout(lhs.type.dims.length, rhs.type.dims.length, batch, contracting);
  return {
    batch: sizeOfDims(
      lhs,
      batch.map(([l]) => l),
    ),
    m: sizeOfDims(lhs, lhsFree),
    n: sizeOfDims(rhs, rhsFree),
    k: sizeOfDims(
      lhs,
      contracting.map(([l]) => l),
    ),
  };
}

function raggedShape(
  { op, type, attrs: { shared, filled } }: Extract<MatmulValue, { op: `ragged_${string}` }>,
  x: Value,
  y: Value,
  sizes: Value,
): MatmulShape {
  const matrices = sizeOfDims(x, shared) * (sizes.type.dims.at(-1) ?? 1);
  const [inner, outer] = [x.type.dims.at(-1) ?? 1, type.dims.at(-1) ?? 1];
  const rows = (sizeOf(x.type.dims) / inner) * (filled / matrices);
  if (op === "ragged_dot") return { batch: matrices, m: rows, n: outer, k: inner };
  return { batch: matrices, m: y.type.dims.at(-1) ?? 1, n: inner, k: rows };
}

/** The share of the elements of an operand that a matmul reads: rows without a group are not read. */
export const readShare = (value: MatmulValue, operand: number): number =>
  value.op === "dot_general" || (value.op === "ragged_dot" && operand === 1) ? 1 : value.attrs.filled;

const up = (x: number, unit: number): number => Math.ceil(x / unit) * unit;

/**
 * Multiply-adds × 2 on the systolic arrays. The stationary operand is in the array in tiles of array × array. The other operand is
 * streamed in rows of 8, the sublanes of a vector register. The compiler chooses the cheaper stationary operand.
 */
export function paddedFlops({ batch, m, n, k }: MatmulShape, array: number): number {
  const stationary = (rows: number, columns: number): number => up(rows, 8) * up(columns, array);
  return 2 * batch * up(k, array) * Math.min(stationary(m, n), stationary(n, m));
}

/** Seconds on the matrix units. */
export const matrixSeconds = (flops: number, chip: ChipSpec, compute: ComputeDtype): number =>
  (flops * (compute === "f32" ? chip.matrix.f32_passes : 1)) / (chip.matrix.bf16_flops * chip.calibrated.matrix_efficiency);

/**
 * Bytes that a tiled matmul reads from HBM. With result tiles of tm × tn, it reads the left operand n/tn times and the right one
 * m/tm times. Half of the vector memory contains the f32 tile and double-buffered strips of both operands. The best tile is
 * chosen. If an operand fits there, each operand is read once.
 *
 * @param bytes bytes of one element of an operand
 */
export function matmulReads({ batch, m, n, k }: MatmulShape, bytes: number, vmem: number, array: number): number {
  const budget = vmem / 2;
  const strip = Math.min(k, 512);
  let best = Infinity;
  for (let tm = Math.min(up(m, 8), array); ; tm = Math.min(tm * 2, m)) {
    // The widest tile that fits with tm rows.
    const tn = Math.min(n, Math.floor((budget - 2 * tm * strip * bytes) / (4 * tm + 2 * strip * bytes)));
    if (tn >= 1) best = Math.min(best, m * k * Math.ceil(n / tn) + k * n * Math.ceil(m / tm));
    if (tm >= m) break;
  }
  const once = m * k + k * n;
  if (Math.min(m * k, k * n) * bytes <= budget) return batch * bytes * once;
  return batch * bytes * (Number.isFinite(best) ? Math.max(best, once) : once * Math.ceil(Math.min(m, n) / array));
}

/** Multiply-adds × 2 of the matmul, without padding. */
export const usefulFlops = (value: Value, inputs: readonly Value[]): number =>
  opDef<OpName>(value.op).flops(
    inputs.map((input) => input.type),
    value.type,
    value.attrs as never,
  );
