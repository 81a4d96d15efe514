import { codePoints, countOf, splitLines, stripEnd, stripStart } from "./python-text.js";
import { isSymbolWord } from "./punctuation.js";

const stopWords = ["the", "be", "to", "of", "and", "that", "have", "with"];
const letter = /\p{L}/u;

/** Measures of the quality filter of Gopher (arXiv 2112.11446, appendix A1.1). Shares are NaN for a text without words or lines. */
export interface GopherMeasures {
  /** Words that are more than punctuation. */
  readonly "gopher.words": number;
  /** Code points of such a word, on average. */
  readonly "gopher.word_length": number;
  /** Occurrences of `#`, and of an ellipsis, for each word of any kind. */
  readonly "gopher.hashes": number;
  readonly "gopher.ellipses": number;
  /** Share of lines that begin with a bullet, and of lines that end with an ellipsis. */
  readonly "gopher.bullet_lines": number;
  readonly "gopher.ellipsis_lines": number;
  /** Share of words with a letter. */
  readonly "gopher.alphabetic": number;
  /** How many of 8 frequent English words occur. */
  readonly "gopher.stop_words": number;
}

export function gopherMeasures(text: string, words: readonly string[]): GopherMeasures {
  const lines = splitLines(text);
  const starts = lines.map(stripStart);
  const ends = lines.map(stripEnd);
  const share = (of: readonly string[], test: (line: string) => boolean): number => of.filter(test).length / lines.length;
  const { plain, characters, alphabetic, distinct } = countWords(words);
  return {
    "gopher.words": plain,
    "gopher.word_length": characters / plain,
    "gopher.hashes": countOf(text, "#") / words.length,
    "gopher.ellipses": (countOf(text, "...") + countOf(text, "…")) / words.length,
    "gopher.bullet_lines": share(starts, (line) => line.startsWith("•") || line.startsWith("-")),
    "gopher.ellipsis_lines": share(ends, (line) => line.endsWith("...") || line.endsWith("…")),
    "gopher.alphabetic": alphabetic / words.length,
    "gopher.stop_words": stopWords.filter((word) => distinct.has(word)).length,
  };
}

/** Equal words are examined once. */
function countWords(words: readonly string[]): {
  readonly plain: number;
  readonly characters: number;
  readonly alphabetic: number;
  readonly distinct: ReadonlyMap<string, number>;
} {
  const distinct = new Map<string, number>();
  for (const word of words) distinct.set(word, (distinct.get(word) ?? 0) + 1);
  let [plain, characters, alphabetic] = [0, 0, 0];
  for (const [word, times] of distinct) {
    if (!isSymbolWord(word)) {
      plain += times;
      characters += times * codePoints(word);
    }
    if (letter.test(word)) alphabetic += times;
  }
  return { plain, characters, alphabetic, distinct };
}
