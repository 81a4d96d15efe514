import { z } from "zod";
import { classifierSchema, TextClassifier, trainClassifier } from "../text-classifier.js";
import { type LabelledDocument, LayoutClassifier, layoutFile } from "./layout-classifier.js";

const modelFile = z.discriminatedUnion("features", [
  z.strictObject({
    format: z.literal("lapidary-text-model"),
    version: z.literal(1),
    features: z.literal("layout"),
    labels: z.array(z.string()).min(2),
    layout: layoutFile,
  }),
  z.strictObject({
    format: z.literal("lapidary-text-model"),
    version: z.literal(1),
    features: z.literal("words"),
    labels: z.array(z.string()).min(2),
    /** For each label a classifier of its texts against all others. */
    words: z.array(classifierSchema),
  }),
]);

export type TextModelFile = Readonly<z.infer<typeof modelFile>>;

/** What a model decides by: measures of the layout, which new sources also have, or runs of one and two words, which are of a topic. */
export type TextFeatures = TextModelFile["features"];

/** A model that gives each label a probability. */
export interface TextModel {
  readonly labels: readonly string[];
  /** In the order of the labels; their sum is 1. */
  probabilities(text: string): readonly number[];
}

/** Trains a model of the labels of texts. The same documents, in any order for `layout`, and the same seed give the same model. */
export function trainTextModel(documents: readonly LabelledDocument[], features: TextFeatures, seed: number): TextModelFile {
  const labels = [...new Set(documents.map(({ label }) => label))].sort();
  const head = { format: "lapidary-text-model", version: 1, labels } as const;
  if (features === "layout") return { ...head, features, layout: LayoutClassifier.train(documents).file };
  const words = labels.map(
    (own) =>
      trainClassifier(
        documents.map(({ text, label }) => ({ text, isPositive: label === own })),
        seed,
      ).file,
  );
  return { ...head, features, words: words.map((each) => ({ ...each, indices: [...each.indices], weights: [...each.weights] })) };
}

/** @returns undefined if the value is not a model, or has other numbers than its labels need */
export function openTextModel(value: unknown): TextModel | undefined {
  const parsed = modelFile.safeParse(value);
  if (!parsed.success) return undefined;
  const { labels } = parsed.data;
  if (parsed.data.features === "layout") {
    const { layout } = parsed.data;
    const { means, deviations } = layout.gaussian;
    const isWhole = [layout.labels, layout.weights, means, deviations].every(({ length }) => length === labels.length);
    if (!isWhole || labels.join("\n") !== layout.labels.join("\n")) return undefined;
    const classifier = new LayoutClassifier(layout);
    return { labels, probabilities: (text) => classifier.probabilities(text) };
  }
  const classifiers = parsed.data.words.flatMap((file) => TextClassifier.parse(file) ?? []);
  if (classifiers.length !== labels.length) return undefined;
  return {
    labels,
    probabilities(text) {
      const scores = classifiers.map((classifier) => classifier.probability(text));
      const sum = scores.reduce((total, each) => total + each, 0);
      return scores.map((score) => (sum === 0 ? 1 / scores.length : score / sum));
    },
  };
}

/** The most probable label. */
export function likeliestLabel({ labels }: TextModel, probabilities: readonly number[]): string {
  return labels[probabilities.indexOf(Math.max(...probabilities))] ?? "";
}
