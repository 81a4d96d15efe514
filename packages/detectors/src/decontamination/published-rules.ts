import { isPunctuation, normalizedNumbers, splitSpaces, type WordSplitter } from "@lapidary/text-filters";
import { shinglesOf } from "../duplicates/min-hash.js";
import { stringHash } from "../word-hash.js";
import { type CharacterRule, type HashedWords, roleOfText, WordScanner } from "../word-scanner.js";
import { HashFilter } from "./hash-filter.js";

/** A rule of another tool, so that its users can compare. Both rules flag frames, quotations and licence headers, and miss short items. */
export interface PublishedRule {
  /** Adds an item of an evaluation set. */
  add(item: { readonly query: string; readonly label: string }): void;
  isContaminated(text: string): boolean;
}

/**
 * The rule of datatrove 0.10: 12 words of the label, or of question and label together; with `queries` also 12 words of the question.
 *
 * @param splitter the words of a normalized text
 */
export function datatroveRule(splitter: WordSplitter, queries: boolean): PublishedRule {
  const size = 12;
  const wordsOfText = normalizedWords(splitter);
  const scanner = normalizedScanner(splitter);
  const known = new Set<string>();
  const filter = new HashFilter();
  const add = (run: readonly string[]): void => {
    known.add(run.join(" "));
    filter.add(shinglesOf(Uint32Array.from(run, stringHash), size, size)[0] ?? 0);
  };
  const addRuns = (words: readonly string[]): void => {
    for (let i = 0; i + size <= words.length; i++) add(words.slice(i, i + size));
  };
  return {
    add({ query, label }) {
      const [queryWords, labelWords] = [wordsOfText(query), wordsOfText(label)];
      addRuns(labelWords);
      if (queries) addRuns(queryWords);
      for (let ofLabel = 1; ofLabel < size; ofLabel++) {
        const ofQuery = size - ofLabel;
        if (queryWords.length >= ofQuery && labelWords.length >= ofLabel)
          add([...queryWords.slice(-ofQuery), ...labelWords.slice(0, ofLabel)]);
      }
    },
    isContaminated(text) {
      const words = scanner.read(text);
      // Equal hashes are possible, so the words of a run are compared.
      return shinglesOf(words.hashes, words.count, size).some((hash, i) => filter.has(hash) && known.has(runText(words, i, size)));
    },
  };
}

const runText = (words: HashedWords, start: number, size: number): string =>
  Array.from({ length: size }, (_, i) => words.word(start + i)).join(" ");

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

export const normalizedWords =
  (splitter: WordSplitter) =>
  (text: string): readonly string[] =>
    splitter.words(normalized(text));

/** The same words, with their hashes. */
export const normalizedScanner = (splitter: WordSplitter): WordScanner =>
  new WordScanner(normalizedRule(splitter), normalizedWords(splitter));

/** The rule of `normalized`, by character. */
const normalizedRule = (splitter: WordSplitter): CharacterRule => ({
  dropsInNumbers: false,
  roleOf(character) {
    const lower = character.toLowerCase();
    if (character === "Σ" || Array.from(lower).length > 1) return { kind: "contextual", text: lower };
    if (/\p{Nd}/u.test(lower)) return { kind: "number", text: "0" };
    const plain = isPunctuation(lower) || splitSpaces(lower).length === 0 ? " " : lower.normalize("NFD").replace(/\p{Mn}/gu, "");
    return roleOfText(plain, (each) => splitter.roleOf(each.codePointAt(0) ?? 0));
  },
});
