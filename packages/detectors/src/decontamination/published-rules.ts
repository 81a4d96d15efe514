import { isPunctuation, normalizedNumbers, splitSpaces } from "@lapidary/text-filters";

/** A rule of another tool, so that its users can compare. Both rules flag frames, quotations and licence headers, and miss short items. */
export interface PublishedRule {
  /** Adds an item of an evaluation set. */
  add(item: { readonly query: string; readonly label: string }): void;
  isContaminated(text: string): boolean;
}

/**
 * The rule of datatrove 0.10: 12 words of the label, or of question and label together; with `queries` also 12 words of the question.
 *
 * @param split the words of a normalized text
 */
export function datatroveRule(split: (text: string) => readonly string[], queries: boolean): PublishedRule {
  const size = 12;
  const wordsOfText = (text: string): readonly string[] => split(normalized(text));
  const known = new Set<string>();
  const addRuns = (words: readonly string[]): void => {
    for (const run of runs(words, size)) known.add(run);
  };
  return {
    add({ query, label }) {
      const [queryWords, labelWords] = [wordsOfText(query), wordsOfText(label)];
      addRuns(labelWords);
      if (queries) addRuns(queryWords);
      for (let ofLabel = 1; ofLabel < size; ofLabel++) {
        const ofQuery = size - ofLabel;
        if (queryWords.length >= ofQuery && labelWords.length >= ofLabel)
          known.add([...queryWords.slice(-ofQuery), ...labelWords.slice(0, ofLabel)].join(" "));
      }
    },
    isContaminated: (text) => runs(wordsOfText(text), size).some((run) => known.has(run)),
  };
}

/** The rule of GPT-3 in the form of lm-evaluation-harness: 13 words between white space, without ASCII punctuation. */
export function janitorRule(): PublishedRule {
  const size = 13;
  const words = (text: string): readonly string[] =>
    splitSpaces(text.replace(/[!-/:-@[-`{-~]/g, "").replace(/[A-Z]/g, (letter) => letter.toLowerCase()));
  const known = new Set<string>();
  return {
    add({ query, label }) {
      for (const run of runs(words(`${query}\n${label}`), size)) known.add(run);
    },
    isContaminated: (text) => runs(words(text), size).some((run) => known.has(run)),
  };
}

function runs(words: readonly string[], size: number): string[] {
  return Array.from({ length: Math.max(0, words.length - size + 1) }, (_, i) => words.slice(i, i + size).join(" "));
}

/** Lower case, numbers as 0, punctuation as blanks, no accents. */
function normalized(text: string): string {
  const plain = Array.from(normalizedNumbers(text.toLowerCase()), (each) => (isPunctuation(each) ? " " : each)).join("");
  return splitSpaces(plain)
    .join(" ")
    .normalize("NFD")
    .replace(/\p{Mn}/gu, "")
    .trim();
}
