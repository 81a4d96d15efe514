import type { LineCounts } from "./lines.js";

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

export function fineWebMeasures(lines: LineCounts, words: number, characters: number): FineWebMeasures {
  return {
    "fineweb.lines": words === 0 ? 0 : lines.visible,
    "fineweb.ended_lines": lines.ended / lines.visible,
    "fineweb.short_lines": lines.short / lines.visible,
    "fineweb.duplicate_characters": lines.visibleDuplicateCharacters / (characters - lines.feeds),
    "fineweb.line_feeds": lines.feeds / words,
  };
}
