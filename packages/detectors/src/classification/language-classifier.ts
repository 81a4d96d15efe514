import { ensure } from "@lapidary/std";
import type { LabelledDocument } from "./layout-classifier.js";

const buckets = 1 << 18;
const longestRun = 4;
/** Added to every count, so that a run that a language does not have is improbable and not impossible. */
const smoothing = 0.02;
/** Characters of a text that count. */
const maxCharacters = 4000;

/** Naive Bayes on runs of 1 to 4 characters (Cavnar and Trenkle 1994 use the same runs). Code can be a language among others. */
export class LanguageClassifier {
  readonly #labels: readonly string[];
  /** For each label the logarithms of probabilities of runs. */
  readonly #logs: readonly Float32Array[];

  constructor(documents: readonly LabelledDocument[]) {
    this.#labels = [...new Set(documents.map(({ label }) => label))].sort();
    this.#logs = this.#labels.map((label) => {
      const counts = new Float32Array(buckets).fill(smoothing);
      let total = smoothing * buckets;
      for (const { text } of documents.filter((each) => each.label === label))
        for (const run of characterRuns(text)) {
          counts[run] = (counts[run] ?? 0) + 1;
          total++;
        }
      return counts.map((count) => Math.log(count / total));
    });
  }

  classify(text: string): string {
    const runs = characterRuns(text);
    const scores = this.#logs.map((logs) => runs.reduce((sum, run) => sum + (logs[run] ?? 0), 0));
    return ensure(this.#labels[scores.indexOf(Math.max(...scores))], "label");
  }
}

/** Buckets of all runs of 1 to 4 characters. Case is kept, digits are `0`, and white space is one blank. */
function characterRuns(text: string): number[] {
  const plain = Array.from(
    ` ${text.slice(0, maxCharacters)} `.replace(/\p{Nd}/gu, "0").replace(/\s+/gu, " "),
    (each) => each.codePointAt(0) ?? 0,
  );
  const runs: number[] = [];
  for (let start = 0; start < plain.length; start++) {
    let hash = 0x811c9dc5;
    for (let end = start; end < Math.min(plain.length, start + longestRun); end++) {
      hash = Math.imul(hash ^ (plain[end] ?? 0), 0x01000193);
      hash ^= hash >>> 15;
      runs.push((hash >>> 0) % buckets);
    }
  }
  return runs;
}
