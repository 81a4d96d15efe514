/** The weight of ½ Σ w² in the mean loss. */
const decay = 0.1;
const rounds = 400;
const learningRate = 0.5;
const momentum = 0.9;

/** Softmax regression. The loss is convex, and a step uses all rows, so the result does not depend on an order. */
export class SoftmaxModel {
  /** For each label the weights of the measures, and the bias last. */
  constructor(readonly weights: readonly Float64Array[]) {}

  /** @param rows standardized measures; `labels` has the number of the label of each row, below `count` */
  static fit(rows: readonly Float64Array[], labels: readonly number[], count: number): SoftmaxModel {
    const columns = rows[0]?.length ?? 0;
    const model = new SoftmaxModel(Array.from({ length: count }, () => new Float64Array(columns + 1)));
    const velocity = model.weights.map((weights) => new Float64Array(weights.length));
    // Labels have equal weight in the loss, so that a rare label is not lost.
    const shares = labels.map((label) => 1 / (count * labels.filter((each) => each === label).length));
    for (let round = 0; round < rounds; round++) {
      const gradients = model.#gradients(rows, labels, shares);
      for (const [label, weights] of model.weights.entries())
        for (let i = 0; i < weights.length; i++) {
          const speed = momentum * (velocity[label]?.[i] ?? 0) - learningRate * (gradients[label]?.[i] ?? 0);
          velocity[label]?.fill(speed, i, i + 1);
          weights[i] = (weights[i] ?? 0) + speed;
        }
    }
    return model;
  }

  probabilities(row: Float64Array): number[] {
    return normalized(this.weights.map((weights) => row.reduce((sum, value, i) => sum + value * (weights[i] ?? 0), weights.at(-1) ?? 0)));
  }

  #gradients(rows: readonly Float64Array[], labels: readonly number[], shares: readonly number[]): Float64Array[] {
    const gradients = this.weights.map((weights) => weights.map((weight, i) => (i === weights.length - 1 ? 0 : decay * weight)));
    for (const [n, row] of rows.entries())
      for (const [label, probability] of this.probabilities(row).entries()) {
        const error = (shares[n] ?? 0) * (probability - Number(labels[n] === label));
        const gradient = gradients[label] ?? new Float64Array(row.length + 1);
        for (let i = 0; i < row.length; i++) gradient[i] = (gradient[i] ?? 0) + error * (row[i] ?? 0);
        gradient[row.length] = (gradient[row.length] ?? 0) + error;
      }
    return gradients;
  }
}

/** Probabilities from logarithms of unnormalized ones. */
export function normalized(logs: readonly number[]): number[] {
  const most = Math.max(...logs);
  const powers = logs.map((log) => Math.exp(log - most));
  const sum = powers.reduce((total, each) => total + each, 0);
  return powers.map((power) => power / sum);
}
