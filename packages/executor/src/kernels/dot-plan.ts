import { type DimPair, type OpAttrs, dotLayout, sizeOf } from "@lapidary/ir";

/** Dims that fold into one each, major to minor. The product has dims batch, left free, right free. */
export interface DotGroups {
  readonly batch: readonly DimPair[];
  readonly contracting: readonly DimPair[];
  readonly lhsFree: readonly number[];
  readonly rhsFree: readonly number[];
}

/** How an operand of a `dot_general` becomes one of a matrix product. */
export interface GemmOperand {
  /** Order of dims to bring it to first; absent where the memory layout is right already. */
  readonly permutation: readonly number[] | undefined;
  /** [rows, columns], or [batch, rows, columns]: a view. */
  readonly dims: readonly number[];
  /** Rows are the contracted dim (left operand) or columns are (right operand): the kernel's own flag transposes. */
  readonly adjoint: boolean;
}

/** One (batched) matrix product, between views of the operands wherever their layout allows. */
export interface GemmPlan {
  readonly lhs: GemmOperand;
  readonly rhs: GemmOperand;
  /** Dims of the product as the kernel gives it; the result of the `dot_general` is a view of it. */
  readonly dims: readonly number[];
}

/**
 * Folds a `dot_general` into one matrix product: all batch dims into one, all contracted dims into one, all free dims of a side into one.
 *
 *     x [B, T, D] · w [F, D] over D        →  [B·T, D] · [F, D]ᵀ      no copy, flag on the right
 *     x [B, T, D] · g [B, T, F] over B, T  →  [B·T, D]ᵀ · [B·T, F]    no copy, flag on the left
 *     q [B, T, H, d] · k [B, S, H, d] over d, batch B, H: H must come before T: q and k are transposed first
 *
 * The dims of a group fold without a copy where they are neighbours in memory in the group's order; dims of 1 never matter. The order of
 * the contracted dims is free: the one that copies fewer elements is taken.
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
  // Both layouts are views when a group is empty or of size 1; the one without a flag is then as good.
  const plain = side === "lhs" ? freeFirst : contractedFirst;
  const flagged = side === "lhs" ? contractedFirst : freeFirst;
  const isView = (order: readonly number[]): boolean => {
    const large = order.filter((d) => (dims[d] ?? 1) !== 1);
    return large.every((d, i) => i === 0 || d > (large[i - 1] ?? 0));
  };
  let order = isView(plain) ? plain : isView(flagged) ? flagged : undefined;
  const permuted = order === undefined;
  // A copy that keeps the innermost dim in its place moves long runs.
  const innermost = dims.findLastIndex((size) => size !== 1);
  order ??= contracted.includes(innermost) ? freeFirst : free.includes(innermost) ? contractedFirst : plain;
  const [b, rows, columns] = [product(dims, batch), order === freeFirst ? free : contracted, order === freeFirst ? contracted : free];
  const matrix = [product(dims, rows), product(dims, columns)];
  return { permutation: permuted ? order : undefined, dims: b === 1 ? matrix : [b, ...matrix], adjoint: order !== plain };
}
