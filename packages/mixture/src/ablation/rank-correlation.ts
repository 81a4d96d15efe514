/** Spearman's rank correlation. Equal values have the mean of their ranks. NaN if all values of one list are equal. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [ranksA, ranksB] = [ranksOf(a), ranksOf(b)];
  const mean = (a.length - 1) / 2;
  const covariance = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, each, i) => sum + (each - mean) * ((y[i] ?? 0) - mean), 0);
  return covariance(ranksA, ranksB) / Math.sqrt(covariance(ranksA, ranksA) * covariance(ranksB, ranksB));
}

function ranksOf(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal - 1) / 2;
  });
}
