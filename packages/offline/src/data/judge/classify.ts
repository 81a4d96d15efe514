import { type LabelledDocument, LanguageClassifier, LayoutClassifier } from "@lapidary/detectors";
import { z } from "zod";
import { fixtureJson, fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const label = z.string().nullable();
const document = z.object({ id: z.string(), label, language: label, quality: label, text: z.string() });
const ids = z.array(z.string());
const splits = z.record(z.string(), z.object({ random: ids, held_out_source: z.record(z.string(), ids) }));

interface Classifier {
  classify(text: string): string;
}

const tasks = [
  { task: "kind", field: "label", train: (documents: readonly LabelledDocument[]): Classifier => LayoutClassifier.train(documents) },
  { task: "quality", field: "quality", train: (documents: readonly LabelledDocument[]): Classifier => LayoutClassifier.train(documents) },
  { task: "language", field: "language", train: (documents: readonly LabelledDocument[]): Classifier => new LanguageClassifier(documents) },
] as const;

/** Labels of documents that the classifier did not see: of a random part, and of each source held out. */
export const classify: JudgeTask = {
  name: "classify",
  *answers(fixtures) {
    const documents = fixtureRows(fixtures, "classify/documents.jsonl", document);
    const byTask = fixtureJson(fixtures, "classify/splits.json", splits);
    for (const { task, field, train } of tasks) {
      const { random = [], held_out_source: sources = {} } = byTask[task] ?? {};
      for (const [split, held] of [["random", random] as const, ...Object.entries(sources)]) {
        const isHeld = new Set(held);
        const labelled = documents.flatMap(({ id, text, [field]: own }) => (own === null || isHeld.has(id) ? [] : [{ text, label: own }]));
        const classifier = train(labelled);
        for (const { id, text } of documents) if (isHeld.has(id)) yield { task, split, id, label: classifier.classify(text) };
      }
    }
  },
};
