/**
 * Least squares within bounds, by the Gauss-Newton method with Levenberg's damping. Sufficient for a few parameters and nearly linear residuals.
 *
 * @param {(x: readonly number[]) => number[]} residuals
 * @param {readonly { readonly start: number, readonly low: number, readonly high: number }[]} parameters
 * @returns {number[]}
 */
export function leastSquares(residuals, parameters) {
  let x = parameters.map(({ start }) => start);
  let r = residuals(x);
  let damping = 1e-3;
  for (let iteration = 0; iteration < 12; iteration++) {
    const columns = parameters.map(({ low, high }, i) => {
      const h = 0.01 * (high - low);
      const moved = x.map((v, j) => (j === i ? (v + h > high ? v - h : v + h) : v));
      const step = (moved[i] ?? 0) - (x[i] ?? 0);
      return residuals(moved).map((value, k) => (value - (r[k] ?? 0)) / step);
    });
    let better = false;
    for (let attempt = 0; attempt < 6 && !better; attempt++) {
      const step = solve(
        columns.map((a, i) => columns.map((b, j) => dot(a, b) * (i === j ? 1 + damping : 1) + (i === j ? 1e-12 : 0))),
        columns.map((a) => -dot(a, r)),
      );
      const next = x.map((v, i) => Math.min(parameters[i]?.high ?? v, Math.max(parameters[i]?.low ?? v, v + (step[i] ?? 0))));
      const there = residuals(next);
      better = dot(there, there) < dot(r, r) - 1e-10;
      if (better) [x, r, damping] = [next, there, damping / 5];
      else damping *= 10;
    }
    if (!better) break;
  }
  return x;
}

/** @param {readonly number[]} a @param {readonly number[]} b */
const dot = (a, b) => a.reduce((sum, v, i) => sum + v * (b[i] ?? 0), 0);

/**
 * Gaussian elimination with pivots.
 *
 * @param {readonly (readonly number[])[]} matrix
 * @param {readonly number[]} right
 */
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i] ?? 0]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = rows.reduce((best, row, j) => (j >= i && Math.abs(row[i] ?? 0) > Math.abs(rows[best]?.[i] ?? 0) ? j : best), i);
    [rows[i], rows[pivot]] = [rows[pivot] ?? [], rows[i] ?? []];
    const own = rows[i] ?? [];
    rows.forEach((row, j) => {
      if (j === i) return;
      const factor = (row[i] ?? 0) / (own[i] ?? 1);
      for (let k = i; k <= n; k++) row[k] = (row[k] ?? 0) - factor * (own[k] ?? 0);
    });
  }
  return rows.map((row, i) => (row[n] ?? 0) / (row[i] ?? 1));
}
