import { ensure } from "@lapidary/std";
import { z } from "zod";
import { GaussianModel } from "./gaussian-model.js";
import { layoutMeasures, layoutOf, unusualWeights } from "./layout.js";
import { normalized, SoftmaxModel } from "./softmax-model.js";

export interface LabelledDocument {
  readonly text: string;
  readonly label: string;
}

const numbers = z.array(z.number());

export const layoutFile = z.strictObject({
  labels: z.array(z.string()).min(2),
  /** Of each measure in the training texts. */
  mean: numbers.length(layoutMeasures),
  deviation: numbers.length(layoutMeasures),
  /** For each label the weights of the measures, and the bias. */
  weights: z.array(numbers.length(layoutMeasures + 1)),
  gaussian: z.strictObject({ means: z.array(numbers.length(layoutMeasures)), deviations: z.array(numbers.length(layoutMeasures)) }),
  /** Texts with a smaller likelihood are unusual. */
  usual: z.number(),
});
type LayoutFile = z.infer<typeof layoutFile>;

/** A measure that is far from all training texts counts at most as one that is this many deviations away. */
const maxDeviations = 4;
/** The share of training texts that are unusual. */
const unusualShare = 0.4;

/**
 * A classifier of the layout of texts.
 *
 * Softmax regression decides on texts that are like the training texts: there it is the more exact one. A Gaussian model decides on unusual texts, such as
 * those of a source that the training texts lack: it uses all measures, and not only those that separate the known sources.
 *
 * The result does not depend on the order of the documents or on a seed.
 */
export class LayoutClassifier {
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  readonly #softmax: SoftmaxModel;
  readonly #gaussian: GaussianModel;

  constructor(readonly file: LayoutFile) {
    [this.#mean, this.#deviation] = [Float64Array.from(file.mean), Float64Array.from(file.deviation)];
    this.#softmax = new SoftmaxModel(file.weights.map((weights) => Float64Array.from(weights)));
    this.#gaussian = new GaussianModel(file.gaussian.means, file.gaussian.deviations);
  }

  static train(documents: readonly LabelledDocument[]): LayoutClassifier {
    const measures = documents.map(({ text }) => layoutOf(text));
    const columns = Array.from({ length: layoutMeasures }, (_, i) => i);
    const meanOf = (values: (row: Float64Array) => number): number => measures.reduce((sum, row) => sum + values(row), 0) / measures.length;
    const mean = columns.map((i) => meanOf((row) => row[i] ?? 0));
    const deviation = columns.map((i) => Math.sqrt(meanOf((row) => ((row[i] ?? 0) - (mean[i] ?? 0)) ** 2)));
    const labels = [...new Set(documents.map(({ label }) => label))].sort();
    const untrained = { labels, mean, deviation, weights: [], gaussian: { means: [], deviations: [] }, usual: 0 };
    const scaler = new LayoutClassifier(untrained);
    const rows = measures.map((each) => scaler.#standardized(each));
    const numbers = documents.map(({ label }) => labels.indexOf(label));
    const softmax = SoftmaxModel.fit(rows, numbers, labels.length);
    const gaussian = GaussianModel.fit(rows, numbers, labels.length);
    const likelihoods = rows.map((row) => Math.max(...gaussian.logLikelihoods(row, unusualWeights))).sort((a, b) => a - b);
    return new LayoutClassifier({
      ...untrained,
      weights: softmax.weights.map((weights) => [...weights]),
      gaussian: { means: gaussian.means.map((each) => [...each]), deviations: gaussian.deviations.map((each) => [...each]) },
      usual: likelihoods[Math.floor(unusualShare * likelihoods.length)] ?? 0,
    });
  }

  /** The most probable label. */
  classify(text: string): string {
    const probabilities = this.probabilities(text);
    return ensure(this.file.labels[probabilities.indexOf(Math.max(...probabilities))], "label");
  }

  /** The probability of each label. */
  probabilities(text: string): readonly number[] {
    const row = this.#standardized(layoutOf(text));
    const likelihoods = this.#gaussian.logLikelihoods(row, unusualWeights);
    return Math.max(...likelihoods) < this.file.usual ? normalized(likelihoods) : this.#softmax.probabilities(row);
  }

  #standardized(measures: Float64Array): Float64Array {
    return measures.map((value, i) => {
      const deviations = (value - (this.#mean[i] ?? 0)) / ((this.#deviation[i] ?? 0) + 1e-9);
      return Math.max(-maxDeviations, Math.min(maxDeviations, deviations));
    });
  }
}
