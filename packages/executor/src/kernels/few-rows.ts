import { type OpAttrs, type OpName, dotLayout } from "@lapidary/ir";

/** Rows of the left operand up to which `LapidaryDot` is used. More rows repay packing and transposing the operands. */
const mostRows = 16;

interface Strided {
  readonly size: number;
  readonly stride: number;
}

/**
 * A `dot_general` with few rows, as `LapidaryDot` computes it from both operands where they are. Sizes and strides in elements:
 *
 *     C [batch, m, n] = A · B      A: (i, k) at i·row + k      B: (j, k) at j·column + k·depth, one of the two is 1
 */
export interface FewRowsPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly row: number;
  readonly column: number;
  readonly depth: number;
  /** Strides in both operands. An operand that repeats along a dim has the stride 0. */
  readonly batch: readonly { readonly size: number; readonly a: number; readonly b: number }[];
}

/**
 * Plans a `dot_general` of few rows without copies. Undefined if it has more rows, or if its layout requires a transpose.
 *
 *     x [B, 1, D] · w [F, D] over D                    →  m = B, n = F, both operands along k
 *     q [B, 1, H, d] · k [B, S, H, d] over d, batch B, H  →  for each b, h: m = 1, n = S with the stride H·d
 *     q [B, H, d] · k [B, S, 1, d] over d, batch B, H  →  keys that all heads share: for each b, m = H
 *
 * @param lhs stored dims of the left operand
 * @param rhs stored dims of the right operand, with 1 along a batch dim in which it repeats
 */
export function planFewRows(
  { batch, contracting }: OpAttrs["dot_general"],
  lhs: readonly number[],
  rhs: readonly number[],
): FewRowsPlan | undefined {
  const [left, right] = [stridedDims(lhs), stridedDims(rhs)];
  const at = (dims: readonly Strided[], d: number): Strided => dims[d] ?? { size: 1, stride: 0 };
  const { lhsFree, rhsFree } = dotLayout(lhs.length, rhs.length, batch, contracting);
  // Trailing batch dims in which the right operand repeats are rows of one matmul.
  let shared = batch.length;
  while (shared > 0 && at(right, batch[shared - 1]?.[1] ?? -1).size === 1) shared--;
  const rows = merged([...batch.slice(shared).map(([l]) => l), ...lhsFree].map((d) => at(left, d)));
  const columns = merged(rhsFree.map((d) => at(right, d)));
  const order = [...contracting].sort((a, b) => a[0] - b[0]);
  const depthOfLeft = merged(order.map(([l]) => at(left, l)));
  const depthOfRight = merged(order.map(([, r]) => at(right, r)));
  if (rows === undefined || columns === undefined || depthOfLeft === undefined || depthOfRight === undefined) return undefined;
  const isAlongOneDim = depthOfRight.stride === 1 || columns.stride === 1;
  if (rows.size > mostRows || depthOfLeft.stride !== 1 || !isAlongOneDim) return undefined;
  return {
    m: rows.size,
    n: columns.size,
    k: depthOfLeft.size,
    row: rows.stride,
    column: columns.stride,
    depth: depthOfRight.stride,
    batch: mergedBatch(batch.slice(0, shared).map(([l, r]): [Strided, Strided] => [at(left, l), at(right, r)])),
  };
}

/**
 * The plan in numbers, as `Decode` of cpp/kernels/dot.cc reads it.
 *
 * @param dims of the result
 * @param leftOp the op of the left operand. The exponential of a hidden score is exactly 0. If the columns of the right operand are contiguous, the
 *   kernel does not read its hidden positions, so that attention reads the filled part of a cache only. An infinite value or NaN there has no effect.
 */
export const encodeFewRows = (
  { m, n, k, row, column, depth, batch }: FewRowsPlan,
  dims: readonly number[],
  leftOp: OpName | undefined,
): Int32Array =>
  Int32Array.from([
    ...[m, n, k, row, column, depth, Number(leftOp === "exponential"), batch.length],
    ...batch.flatMap(({ size, a, b }) => [size, a, b]),
    ...dims,
  ]);

/** Dims with their strides in a contiguous array. */
function stridedDims(dims: readonly number[]): Strided[] {
  const result: Strided[] = [];
  let stride = 1;
  for (const size of dims.toReversed()) {
    result.unshift({ size, stride: size === 1 ? 0 : stride });
    stride *= size;
  }
  return result;
}

/** Several dims as one, if one stride visits their elements in order. Dims of 1 are ignored. */
function merged(dims: readonly Strided[]): Strided | undefined {
  const large = dims.filter(({ size }) => size !== 1);
  const last = large.at(-1);
  if (last === undefined) return { size: 1, stride: 1 };
  const isEven = large.every(({ stride }, i) => {
    const next = large[i + 1];
    return next === undefined || stride === next.size * next.stride;
  });
  return isEven ? { size: large.reduce((n, { size }) => n * size, 1), stride: last.stride } : undefined;
}

function mergedBatch(pairs: readonly (readonly [Strided, Strided])[]): { size: number; a: number; b: number }[] {
  const result: { size: number; a: number; b: number }[] = [];
  for (const [{ size: left, stride: a }, { size: right, stride: b }] of pairs) {
    const size = Math.max(left, right);
    if (size === 1) continue;
    const last = result.at(-1);
    if (last !== undefined && last.a === size * a && last.b === size * b) result[result.length - 1] = { size: last.size * size, a, b };
    else result.push({ size, a, b });
  }
  return result;
}
