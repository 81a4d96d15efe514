import { countOf, forEachLine, skipSpaces, skipSpacesBack } from "./python-text.js";
import type { WordList } from "./word-list.js";

const stopWords = ["the", "be", "to", "of", "and", "that", "have", "with"];
const [bullet, hyphen] = [0x2022, 0x2d];

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

export function gopherMeasures(text: string, words: WordList): GopherMeasures {
  const { count } = words;
  let [lines, bullets, ellipses] = [0, 0, 0];
  forEachLine(text, (start, end) => {
    lines++;
    const first = skipSpaces(text, start, end);
    const unit = first < end ? text.charCodeAt(first) : 0;
    if (unit === bullet || unit === hyphen) bullets++;
    const last = skipSpacesBack(text, first, end);
    if (last > first && (text.startsWith("…", last - 1) || (last - first >= 3 && text.startsWith("...", last - 3)))) ellipses++;
  });
  let [plain, characters, alphabetic] = [0, 0, 0];
  for (let word = 0; word < words.distinct; word++) {
    const times = words.times[word] ?? 0;
    if (words.isSymbol[word] !== 1) {
      plain += times;
      characters += times * (words.characters[word] ?? 0);
    }
    if (words.hasLetter[word] === 1) alphabetic += times;
  }
  return {
    "gopher.words": plain,
    "gopher.word_length": characters / plain,
    "gopher.hashes": countOf(text, "#") / count,
    "gopher.ellipses": (countOf(text, "...") + countOf(text, "…")) / count,
    "gopher.bullet_lines": bullets / lines,
    "gopher.ellipsis_lines": ellipses / lines,
    "gopher.alphabetic": alphabetic / count,
    "gopher.stop_words": stopWords.filter((word) => words.has(word)).length,
  };
}
