import { splitSpaces } from "./python-text.js";

/** How a text becomes words. The measures of words depend on it, so a pipeline names it. */
export interface WordSplitter {
  readonly name: string;
  words(text: string): readonly string[];
}

const pattern = /[\p{L}\p{M}\p{N}]+|[^\p{White_Space}\p{L}\p{M}\p{N}]/gu;

/** Letters, marks and digits belong together. Every other character that is not white space is a word of its own. */
export const patternWords: WordSplitter = { name: "pattern", words: (text) => text.match(pattern) ?? [] };

/** Words are separated by white space. */
export const whitespaceWords: WordSplitter = { name: "whitespace", words: splitSpaces };

const sentenceEnd = /[.!?…。！？]+["'”’»)\]]*(?=\p{White_Space}|$)/gu;

/** Sentences of a text without white space at its ends: each ends after a mark before white space, and the last one at the end of the text. */
export function sentenceCount(text: string): number {
  let [count, end] = [0, 0];
  for (const match of text.matchAll(sentenceEnd)) [count, end] = [count + 1, match.index + match[0].length];
  return end < text.length || count === 0 ? count + 1 : count;
}
