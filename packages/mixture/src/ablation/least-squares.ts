import { assert } from "@lapidary/std";

/**
 * Ridge regression: the w that minimizes Σ (x·w − y)² + ridge Σ w², by the normal equations and Cholesky's factorization.
 *
 * @param rows features of each observation, [n][p]
 * @returns p coefficients
 */
export function leastSquares(rows: readonly (readonly number[])[], targets: readonly number[], ridge: number): number[] {
  const size = rows[0]?.length ?? 0;
  assert(ridge > 0 && rows.length === targets.length, "a regression has a ridge and one target a row", ridge, targets.length);
  const normal = Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), i === j ? ridge : 0)),
  );
  const right = Array.from({ length: size }, (_, i) => rows.reduce((sum, row, n) => sum + (row[i] ?? 0) * (targets[n] ?? 0), 0));
  return solveSymmetric(normal, right);
}

/** Solves A x = b for a positive definite matrix A. */
function solveSymmetric(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const lower = matrix.map(() => new Float64Array(matrix.length));
  for (const [i, row] of lower.entries())
    for (let j = 0; j <= i; j++) {
      const other = lower[j] ?? row;
      let value = matrix[i]?.[j] ?? 0;
      for (let k = 0; k < j; k++) value -= (row[k] ?? 0) * (other[k] ?? 0);
      row[j] = i === j ? Math.sqrt(Math.max(value, Number.MIN_VALUE)) : value / (other[j] ?? 1);
    }
  const forward: number[] = [];
  for (const [i, row] of lower.entries()) {
    const known = forward.reduce((sum, each, k) => sum + each * (row[k] ?? 0), 0);
    forward.push(((right[i] ?? 0) - known) / (row[i] ?? 1));
  }
  const solution = Array<number>(matrix.length).fill(0);
  for (let i = matrix.length - 1; i >= 0; i--) {
    let value = forward[i] ?? 0;
    for (let k = i + 1; k < matrix.length; k++) value -= (lower[k]?.[i] ?? 0) * (solution[k] ?? 0);
    solution[i] = value / (lower[i]?.[i] ?? 1);
  }
  return solution;
}
