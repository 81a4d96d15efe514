import { ensure, hashString, seededRandom } from "@lapidary/std";
import { z } from "zod";
import { nGrams, wordsOf } from "./words.js";

/**
 * A linear classifier of texts: logistic regression on hashed runs of one and two words.
 *
 *     text ─► words ─► runs of 1 and 2 words ─► buckets ─► σ(bias + Σ weight / √(number of buckets))
 *
 * It learns from labelled rows which texts a filter must remove, and which similar texts stay.
 */
export const classifierSchema = z.strictObject({
  format: z.literal("lapidary-text-classifier"),
  version: z.literal(1),
  buckets: z
    .number()
    .int()
    .min(2)
    .max(1 << 24),
  /** The longest run of words. */
  words: z.number().int().min(1).max(5),
  bias: z.number(),
  /** A text with at least this probability is positive. */
  threshold: z.number().min(0).max(1),
  /** Buckets whose weight is not 0, ascending, and their weights. */
  indices: z.array(z.number().int().min(0)),
  weights: z.array(z.number()),
});

export type ClassifierFile = Readonly<z.infer<typeof classifierSchema>>;

export interface LabelledText {
  readonly text: string;
  readonly isPositive: boolean;
}

const buckets = 1 << 18;
const longestRun = 2;
const epochs = 12;
const learningRate = 0.5;
/** The weight of ½ Σ w² in the loss of one text. */
const decay = 1e-5;

export class TextClassifier {
  readonly #weights: Float64Array;

  constructor(readonly file: ClassifierFile) {
    this.#weights = new Float64Array(file.buckets);
    file.indices.forEach((index, i) => {
      this.#weights[index] = ensure(file.weights[i], "weight");
    });
  }

  /** @returns undefined if the value is not a classifier */
  static parse(value: unknown): TextClassifier | undefined {
    const parsed = classifierSchema.safeParse(value);
    if (!parsed.success) return undefined;
    const { indices, weights, buckets: size } = parsed.data;
    const isWhole = indices.length === weights.length && indices.every((index) => index < size);
    return isWhole ? new TextClassifier(parsed.data) : undefined;
  }

  /** The probability that a text is positive. */
  probability(text: string): number {
    return probabilityOf(featuresOf(text, this.file.words, this.file.buckets), this.#weights, this.file.bias);
  }

  isPositive(text: string): boolean {
    return this.probability(text) >= this.file.threshold;
  }

  /** The same classifier with another threshold. */
  withThreshold(threshold: number): TextClassifier {
    return new TextClassifier({ ...this.file, threshold });
  }
}

/**
 * Fits the weights by AdaGrad (Duchi et al. 2011), text by text in an order that the seed decides. The same texts and the same seed give the same
 * weights. The threshold is ½.
 */
export function trainClassifier(texts: readonly LabelledText[], seed: number): TextClassifier {
  const rows = texts.map(({ text, isPositive }) => ({ features: featuresOf(text, longestRun, buckets), label: isPositive ? 1 : 0 }));
  const [weights, squares] = [new Float64Array(buckets), new Float64Array(buckets)];
  const random = seededRandom(seed);
  let [bias, biasSquares] = [0, 0];
  for (let epoch = 0; epoch < epochs; epoch++)
    for (const { features, label } of shuffled(rows, random)) {
      const error = probabilityOf(features, weights, bias) - label;
      biasSquares += error * error;
      bias -= (learningRate * error) / Math.sqrt(biasSquares + 1e-8);
      const value = 1 / Math.sqrt(features.length);
      for (const index of features) {
        const weight = weights[index] ?? 0;
        const gradient = error * value + decay * weight;
        const square = (squares[index] ?? 0) + gradient * gradient;
        squares[index] = square;
        weights[index] = weight - (learningRate * gradient) / Math.sqrt(square + 1e-8);
      }
    }
  const indices = [...weights.keys()].filter((index) => weights[index] !== 0);
  return new TextClassifier({
    format: "lapidary-text-classifier",
    version: 1,
    buckets,
    words: longestRun,
    bias,
    threshold: 0.5,
    indices,
    // Six digits decide no text, and make the file small.
    weights: indices.map((index) => Number((weights[index] ?? 0).toPrecision(6))),
  });
}

/** Ascending buckets of a text, each once. */
function featuresOf(text: string, longest: number, size: number): Uint32Array {
  const words = wordsOf(text);
  const found = new Set<number>();
  for (let n = 1; n <= longest; n++)
    if (words.length >= n) for (const gram of nGrams(words, n)) found.add(hashString(`${n} ${gram}`) % size);
  return Uint32Array.from(found).sort();
}

function probabilityOf(features: Uint32Array, weights: Float64Array, bias: number): number {
  let sum = 0;
  for (const index of features) sum += weights[index] ?? 0;
  return 1 / (1 + Math.exp(-(bias + (features.length === 0 ? 0 : sum / Math.sqrt(features.length)))));
}

function shuffled<T>(items: readonly T[], random: ReturnType<typeof seededRandom>): readonly T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [ensure(order[j], "item"), ensure(order[i], "item")];
  }
  return order;
}

export interface ClassifierQuality {
  readonly threshold: number;
  /** Share of right decisions among the positive ones. */
  readonly precision: number;
  /** Share of positive texts that are found. */
  readonly recall: number;
  /** Probability that a positive text scores higher than a negative one; ties count half. */
  readonly auc: number;
}

/**
 * The threshold with the highest recall among those that reach the precision on held-out texts.
 *
 * @returns the best precision in place of a threshold if none reaches it
 */
export function chooseThreshold(
  classifier: TextClassifier,
  heldOut: readonly LabelledText[],
  precision: number,
): ClassifierQuality | { readonly bestPrecision: number } {
  const scored = heldOut
    .map(({ text, isPositive }) => ({ score: classifier.probability(text), isPositive }))
    .sort((a, b) => b.score - a.score);
  const positives = scored.filter(({ isPositive }) => isPositive).length;
  let [found, best] = [0, 0];
  let chosen: Omit<ClassifierQuality, "auc"> | undefined;
  for (const [i, { score, isPositive }] of scored.entries()) {
    if (isPositive) found++;
    // Texts of equal score are on one side of a threshold.
    if (score === scored[i + 1]?.score) continue;
    const reached = found / (i + 1);
    best = Math.max(best, reached);
    if (reached >= precision) chosen = { threshold: score, precision: reached, recall: found / positives };
  }
  return chosen === undefined ? { bestPrecision: best } : { ...chosen, auc: areaUnderCurve(scored) };
}

/** Mann–Whitney statistic of scores in descending order. */
function areaUnderCurve(scored: readonly { readonly score: number; readonly isPositive: boolean }[]): number {
  let [above, sum, negatives] = [0, 0, 0];
  let [positive, negative] = [0, 0];
  for (const [i, { score, isPositive }] of scored.entries()) {
    if (isPositive) positive++;
    else negative++;
    if (score === scored[i + 1]?.score) continue;
    sum += negative * (above + positive / 2);
    above += positive;
    negatives += negative;
    [positive, negative] = [0, 0];
  }
  return sum / (above * negatives);
}
