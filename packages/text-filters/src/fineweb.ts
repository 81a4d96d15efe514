import { codePoints, countOf, isBlank } from "./python-text.js";
import { endsSentence } from "./punctuation.js";
import { duplicatesOf } from "./repetition.js";

/** A line is short if it has at most this many code points. */
const shortLine = 30;

/** Measures of FineWeb's filter (arXiv 2406.17557, section 3.6), of lines that are not blank. */
export interface FineWebMeasures {
  readonly "fineweb.lines": number;
  /** Share of lines that end a sentence. */
  readonly "fineweb.ended_lines": number;
  /** Share of lines of at most 30 characters. */
  readonly "fineweb.short_lines": number;
  /** Characters of lines that equal an earlier one, as a share of all characters but line feeds. */
  readonly "fineweb.duplicate_characters": number;
  /** Line feeds for each word; 0 for a text without both. */
  readonly "fineweb.line_feeds": number;
}

export function fineWebMeasures(text: string, words: readonly string[], characters: number): FineWebMeasures {
  const lines = text.split("\n").filter((line) => !isBlank(line));
  const feeds = countOf(text, "\n");
  return {
    "fineweb.lines": words.length === 0 ? 0 : lines.length,
    "fineweb.ended_lines": lines.filter(endsSentence).length / lines.length,
    "fineweb.short_lines": lines.filter((line) => line.length <= 2 * shortLine && codePoints(line) <= shortLine).length / lines.length,
    "fineweb.duplicate_characters": duplicatesOf(lines).characters / (characters - feeds),
    "fineweb.line_feeds": feeds / words.length,
  };
}
