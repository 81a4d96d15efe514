import { isSpace, splitSpaces } from "./python-text.js";

/** How a character takes part in words: it separates them, belongs to a word with its neighbours, or is a word of its own. */
type WordRole = "separator" | "joined" | "single";

/** How a text becomes words. The measures of words depend on it, so a pipeline names it. */
export interface WordSplitter {
  readonly name: string;
  words(text: string): readonly string[];
  /** The rule of `words`, by character. */
  roleOf(codePoint: number): WordRole;
}

const pattern = /[\p{L}\p{M}\p{N}]+|[^\p{White_Space}\p{L}\p{M}\p{N}]/gu;
const joined = /[\p{L}\p{M}\p{N}]/u;
const whiteSpace = /\p{White_Space}/u;

/** Letters, marks and digits belong together. Every other character that is not white space is a word of its own. */
export const patternWords: WordSplitter = {
  name: "pattern",
  words: (text) => text.match(pattern) ?? [],
  roleOf(codePoint) {
    const character = String.fromCodePoint(codePoint);
    if (joined.test(character)) return "joined";
    return whiteSpace.test(character) ? "separator" : "single";
  },
};

/** Words are separated by white space. */
export const whitespaceWords: WordSplitter = {
  name: "whitespace",
  words: splitSpaces,
  roleOf: (codePoint) => (isSpace(codePoint) ? "separator" : "joined"),
};
