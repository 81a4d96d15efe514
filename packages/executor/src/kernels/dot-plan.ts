import { type DimPair, type OpAttrs, dotLayout, sizeOf } from "@lapidary/ir";

/** Groups of dims, each from major to minor. Each group folds into one dim. The result has the dims batch, left free, right free. */
export interface DotGroups {
  readonly batch: readonly DimPair[];
  readonly contracting: readonly DimPair[];
  readonly lhsFree: readonly number[];
  readonly rhsFree: readonly number[];
}

/** Turns an operand of a `dot_general` into an operand of a matmul. */
export interface GemmOperand {
  /** The transpose that comes first. Undefined if the memory layout needs none. */
  readonly permutation: readonly number[] | undefined;
  /** [rows, columns], or [batch, rows, columns]: a view. */
  readonly dims: readonly number[];
  /** Whether the rows of the left operand (or the columns of the right one) are the contracted dim. A flag of the kernel then transposes. */
  readonly adjoint: boolean;
}

/** One (batched) matmul. Its operands are views if their layout allows it. */
export interface GemmPlan {
  readonly lhs: GemmOperand;
  readonly rhs: GemmOperand;
  /** Dims of the kernel's result. The result of the `dot_general` is a view of it. */
  readonly dims: readonly number[];
}

/**
 * Folds a `dot_general` into one matmul: all batch dims into one dim, all contracted dims into one, and all free dims of a side into one.
 *
 *     x [B, T, D] · w [F, D] over D        →  [B·T, D] · [F, D]ᵀ      no copy, flag on the right
 *     x [B, T, D] · g [B, T, F] over B, T  →  [B·T, D]ᵀ · [B·T, F]    no copy, flag on the left
 *     q [B, T, H, d] · k [B, S, H, d] over d, batch B, H: H must come before T: q and k are transposed first
 *
 * The dims of a group fold without a copy if they are contiguous in memory in the group's order. Dims of 1 are ignored. The order of the contracted dims is
 * free, so the plan takes the order that copies fewer elements.
 *
 * @param ignoredRight dims of 1 of the right operand that belong to no group
 */
export function planDot(
  { batch, contracting, lhsFree, rhsFree }: DotGroups,
  lhs: readonly number[],
  rhs: readonly number[],
  ignoredRight: readonly number[] = [],
): GemmPlan {
  const orders = [[...contracting].sort((a, b) => a[0] - b[0]), [...contracting].sort((a, b) => a[1] - b[1])];
  const plans = orders.map((order) => {
    const left = gemmOperand(
      lhs,
      batch.map(([l]) => l),
      lhsFree,
      order.map(([l]) => l),
      "lhs",
    );
    const right = gemmOperand(
      rhs,
      [...batch.map(([, r]) => r), ...ignoredRight],
      rhsFree,
      order.map(([, r]) => r),
      "rhs",
    );
    const copied = (left.permutation === undefined ? 0 : sizeOf(lhs)) + (right.permutation === undefined ? 0 : sizeOf(rhs));
    return { left, right, copied };
  });
  const { left, right } = plans.reduce((best, plan) => (plan.copied < best.copied ? plan : best));
  const b = product(
    lhs,
    batch.map(([l]) => l),
  );
  const dims = [product(lhs, lhsFree), product(rhs, rhsFree)];
  return { lhs: left, rhs: right, dims: b === 1 ? dims : [b, ...dims] };
}

/** The groups of a `dot_general` in the order of its result: batch, left free, right free. */
export const dotGroups = ({ batch, contracting }: OpAttrs["dot_general"], lhsRank: number, rhsRank: number): DotGroups => ({
  batch,
  contracting,
  ...dotLayout(lhsRank, rhsRank, batch, contracting),
});

const product = (dims: readonly number[], chosen: readonly number[]): number => chosen.reduce((n, d) => n * (dims[d] ?? 1), 1);

function gemmOperand(
  dims: readonly number[],
  batch: readonly number[],
  free: readonly number[],
  contracted: readonly number[],
  side: "lhs" | "rhs",
): GemmOperand {
  const freeFirst = [...batch, ...free, ...contracted];
  const contractedFirst = [...batch, ...contracted, ...free];
  // If a group is empty or has size 1, both layouts are views. Then the plan takes the layout without a flag.
  const plain = side === "lhs" ? freeFirst : contractedFirst;
  const flagged = side === "lhs" ? contractedFirst : freeFirst;
  const isView = (order: readonly number[]): boolean => {
    const large = order.filter((d) => (dims[d] ?? 1) !== 1);
    return large.every((d, i) => i === 0 || d > (large[i - 1] ?? 0));
  };
  let order = isView(plain) ? plain : isView(flagged) ? flagged : undefined;
  const permuted = order === undefined;
  // A copy that keeps the innermost dim moves long contiguous runs.
  const innermost = dims.findLastIndex((size) => size !== 1);
  order ??= contracted.includes(innermost) ? freeFirst : free.includes(innermost) ? contractedFirst : plain;
  const [b, rows, columns] = [product(dims, batch), order === freeFirst ? free : contracted, order === freeFirst ? contracted : free];
  const matrix = [product(dims, rows), product(dims, columns)];
  return { permutation: permuted ? order : undefined, dims: b === 1 ? matrix : [b, ...matrix], adjoint: order !== plain };
}
