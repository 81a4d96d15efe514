/** Added to every deviation of a label, so that a measure that varies little in the training texts does not decide alone. */
const leastDeviation = 0.6;

/** Naive Bayes with one normal distribution for each label and measure. */
export class GaussianModel {
  readonly #means: readonly Float64Array[];
  readonly #deviations: readonly Float64Array[];

  /** @param rows standardized measures; `labels` has the number of the label of each row, below `count` */
  constructor(rows: readonly Float64Array[], labels: readonly number[], count: number) {
    const columns = rows[0]?.length ?? 0;
    const ofLabel = Array.from({ length: count }, (_, label) => rows.filter((_row, n) => labels[n] === label));
    this.#means = ofLabel.map((own) =>
      new Float64Array(columns).map((_, i) => own.reduce((sum, row) => sum + (row[i] ?? 0), 0) / own.length),
    );
    this.#deviations = ofLabel.map((own, label) =>
      new Float64Array(columns).map((_, i) => {
        const mean = this.#means[label]?.[i] ?? 0;
        const variance = own.reduce((sum, row) => sum + ((row[i] ?? 0) - mean) ** 2, 0) / own.length;
        return Math.sqrt(variance + leastDeviation ** 2);
      }),
    );
  }

  /** The logarithm of the likelihood of each label, up to one constant. */
  logLikelihoods(row: Float64Array): number[] {
    return this.#means.map((means, label) => {
      const deviations = this.#deviations[label] ?? means;
      return row.reduce((sum, value, i) => {
        const deviation = deviations[i] ?? 1;
        return sum - 0.5 * ((value - (means[i] ?? 0)) / deviation) ** 2 - Math.log(deviation);
      }, 0);
    });
  }
}
