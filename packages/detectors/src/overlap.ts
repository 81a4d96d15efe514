import { nGrams, wordsOf } from "./words.js";

/** A text that a model is evaluated on. */
export interface EvaluationText {
  /** For reports: the file and row. */
  readonly name: string;
  readonly text: string;
}

export interface Overlap {
  readonly name: string;
  /** The common words. */
  readonly words: string;
}

/** Number of consecutive words. */
const gramWords = 13;

/** Whether a text is too short for an overlap, so that only the whole text is compared. */
export const isShort = (text: string): boolean => wordsOf(text).length < gramWords;

/**
 * Finds texts that have 13 consecutive words in common with a text of an evaluation set (Brown et al. 2020, appendix C). A text of an evaluation
 * set with fewer words counts only if the whole text is the same.
 */
export class OverlapIndex {
  readonly #names = new Map<string, string>();

  constructor(texts: Iterable<EvaluationText>) {
    for (const { name, text } of texts)
      for (const gram of nGrams(wordsOf(text), gramWords)) if (!this.#names.has(gram)) this.#names.set(gram, name);
  }

  find(text: string): Overlap | undefined {
    for (const gram of nGrams(wordsOf(text), gramWords)) {
      const name = this.#names.get(gram);
      if (name !== undefined) return { name, words: gram };
    }
    return undefined;
  }
}
