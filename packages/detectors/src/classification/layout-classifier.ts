import { ensure } from "@lapidary/std";
import { GaussianModel } from "./gaussian-model.js";
import { layoutOf } from "./layout.js";
import { SoftmaxModel } from "./softmax-model.js";

export interface LabelledDocument {
  readonly text: string;
  readonly label: string;
}

/** A measure that is far from all training texts counts at most as one that is this many deviations away. */
const maxDeviations = 4;
/** The share of training texts that are unusual. */
const unusualShare = 0.5;

/**
 * A classifier of the layout of texts.
 *
 * Softmax regression decides on texts that are like the training texts: there it is the more exact one. A Gaussian model decides on unusual texts, such as
 * those of a source that the training texts lack: it uses all measures, and not only those that separate the known sources.
 *
 * The result does not depend on the order of the documents or on a seed.
 */
export class LayoutClassifier {
  readonly #labels: readonly string[];
  readonly #mean: Float64Array;
  readonly #deviation: Float64Array;
  readonly #softmax: SoftmaxModel;
  readonly #gaussian: GaussianModel;
  /** Texts with a smaller likelihood are unusual. */
  readonly #usual: number;

  constructor(documents: readonly LabelledDocument[]) {
    const measures = documents.map(({ text }) => layoutOf(text));
    const columns = (measures[0] ?? []).length;
    const meanOf = (values: (row: Float64Array) => number): number => measures.reduce((sum, row) => sum + values(row), 0) / measures.length;
    this.#labels = [...new Set(documents.map(({ label }) => label))].sort();
    this.#mean = new Float64Array(columns).map((_, i) => meanOf((row) => row[i] ?? 0));
    this.#deviation = new Float64Array(columns).map((_, i) => Math.sqrt(meanOf((row) => ((row[i] ?? 0) - (this.#mean[i] ?? 0)) ** 2)));
    const rows = measures.map((each) => this.#standardized(each));
    const labels = documents.map(({ label }) => this.#labels.indexOf(label));
    this.#softmax = new SoftmaxModel(rows, labels, this.#labels.length);
    this.#gaussian = new GaussianModel(rows, labels, this.#labels.length);
    const likelihoods = rows.map((row) => Math.max(...this.#gaussian.logLikelihoods(row))).sort((a, b) => a - b);
    this.#usual = likelihoods[Math.floor(unusualShare * likelihoods.length)] ?? 0;
  }

  /** The most probable label. */
  classify(text: string): string {
    const row = this.#standardized(layoutOf(text));
    const likelihoods = this.#gaussian.logLikelihoods(row);
    const scores = Math.max(...likelihoods) < this.#usual ? likelihoods : this.#softmax.probabilities(row);
    return ensure(this.#labels[scores.indexOf(Math.max(...scores))], "label");
  }

  #standardized(measures: Float64Array): Float64Array {
    return measures.map((value, i) => {
      const deviations = (value - (this.#mean[i] ?? 0)) / ((this.#deviation[i] ?? 0) + 1e-9);
      return Math.max(-maxDeviations, Math.min(maxDeviations, deviations));
    });
  }
}
