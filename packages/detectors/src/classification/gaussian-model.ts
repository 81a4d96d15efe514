/** Added to every deviation of a label, so that a measure that varies little in the training texts does not decide alone. */
const leastDeviation = 0.6;

/** Naive Bayes with one normal distribution for each label and measure. */
export class GaussianModel {
  /** For each label, the means and the deviations of the measures. */
  constructor(
    readonly means: readonly (readonly number[])[],
    readonly deviations: readonly (readonly number[])[],
  ) {}

  /** @param rows standardized measures; `labels` has the number of the label of each row, below `count` */
  static fit(rows: readonly Float64Array[], labels: readonly number[], count: number): GaussianModel {
    const columns = Array.from({ length: rows[0]?.length ?? 0 }, (_, i) => i);
    const ofLabel = Array.from({ length: count }, (_, label) => rows.filter((_row, n) => labels[n] === label));
    const means = ofLabel.map((own) => columns.map((i) => own.reduce((sum, row) => sum + (row[i] ?? 0), 0) / own.length));
    const deviations = ofLabel.map((own, label) =>
      columns.map((i) => {
        const variance = own.reduce((sum, row) => sum + ((row[i] ?? 0) - (means[label]?.[i] ?? 0)) ** 2, 0) / own.length;
        return Math.sqrt(variance + leastDeviation ** 2);
      }),
    );
    return new GaussianModel(means, deviations);
  }

  /**
   * The logarithm of the likelihood of each label, up to one constant.
   *
   * @param weights how often each measure counts
   */
  logLikelihoods(row: Float64Array, weights: readonly number[]): number[] {
    return this.means.map((means, label) => {
      const deviations = this.deviations[label] ?? means;
      return row.reduce((sum, value, i) => {
        const deviation = deviations[i] ?? 1;
        return sum - (weights[i] ?? 1) * (0.5 * ((value - (means[i] ?? 0)) / deviation) ** 2 + Math.log(deviation));
      }, 0);
    });
  }
}
