import { type OpName, type Value, dotLayout, opDef } from "@lapidary/ir";
import type { ChipSpec } from "../chip/chip-spec.js";
import type { ComputeDtype } from "./storage.js";

/** A batched matmul: [b, m, k] · [b, k, n]. */
export interface MatmulShape {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export function matmulShape(value: Extract<Value, { op: "dot_general" }>, [lhs, rhs]: readonly [Value, Value]): MatmulShape {
  const { batch, contracting } = value.attrs;
  const { lhsFree, rhsFree } = dotLayout(lhs.type.dims.length, rhs.type.dims.length, batch, contracting);
  const size = (of: Value, dims: readonly number[]): number => dims.reduce((n, d) => n * (of.type.dims[d] ?? 1), 1);
  return {
    batch: size(
      lhs,
      batch.map(([l]) => l),
    ),
    m: size(lhs, lhsFree),
    n: size(rhs, rhsFree),
    k: size(
      lhs,
      contracting.map(([l]) => l),
    ),
  };
}

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
