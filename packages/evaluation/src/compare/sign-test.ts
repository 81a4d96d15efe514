import { assert } from "@lapidary/std";

/**
 * Exact two-sided sign test: under the hypothesis that wins and losses are equally likely, the probability of a result at least as uneven.
 *
 *     p = min(1, 2 Σ_{i ≤ min(w, l)} C(w + l, i) / 2^(w + l))
 *
 * Ties do not count. Without wins and losses the result is 1. The sum begins at its largest term, which is computed without cancellation
 * (`logHalfBinomial`), so that the relative error stays near 1e-13 for any counts.
 */
export function signTest(wins: number, losses: number): number {
  return Math.exp(logSignTest(wins, losses));
}

/** Natural logarithm of `signTest`. It stays finite if the probability is too small for a double. */
export function logSignTest(wins: number, losses: number): number {
  assert(isCount(wins) && isCount(losses), "wins and losses are counts", wins, losses);
  const n = wins + losses;
  const least = Math.min(wins, losses);
  if (n === 0) return 0;
  let term = 1;
  let sum = 1;
  for (let i = least; i > 0 && term > sum * 2 ** -60; i--) {
    term *= i / (n - i + 1);
    sum += term;
  }
  return Math.min(0, Math.LN2 + logHalfBinomial(n, least) + Math.log(sum));
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/**
 * ln(C(n, k) / 2^n) by the saddle-point form of C. Loader, "Fast and accurate computation of binomial probabilities" (2000): the large terms
 * of the three factorials cancel in advance.
 */
function logHalfBinomial(n: number, k: number): number {
  if (k === 0 || k === n) return -n * Math.LN2;
  const corrections = stirlingError(n) - stirlingError(k) - stirlingError(n - k);
  const deviance = halfDeviance(k, n / 2) + halfDeviance(n - k, n / 2);
  return corrections - deviance + 0.5 * Math.log(n / (2 * Math.PI * k * (n - k)));
}

/** x ln(x / m) + m − x, by a series where x and m are close. */
function halfDeviance(x: number, m: number): number {
  const v = (x - m) / (x + m);
  if (Math.abs(v) > 0.1) return x * Math.log(x / m) + m - x;
  let term = 2 * x * v;
  let sum = (x - m) * v;
  for (let j = 3; ; j += 2) {
    term *= v * v;
    const next = sum + term / j;
    if (next === sum) return sum;
    sum = next;
  }
}

/** ln n! − ((n + ½) ln n − n + ½ ln 2π) for n ≥ 1. */
function stirlingError(n: number): number {
  if (n <= 15) {
    let factorial = 1;
    for (let i = 2; i <= n; i++) factorial *= i;
    return Math.log(factorial) - ((n + 0.5) * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI));
  }
  const r = 1 / (n * n);
  return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - (r * 691) / 360360))))) / n;
}
