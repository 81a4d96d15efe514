import { type CheckedRow, textColumn } from "./row.js";

export interface SortedSettings {
  /** The column with the characters to sort; the prompt by default. */
  readonly column?: string | undefined;
}

/**
 * 1 if the answer has the characters of the text in ascending order of their code points, else 0: for 52341 the answer is 12345. White space at
 * the ends of both does not count.
 *
 * @throws LapidaryError LAP_CHECKER_ROW if the column is missing or not text
 */
export function sortedScore(row: CheckedRow, { column }: SortedSettings): number {
  const text = column === undefined ? row.prompt : textColumn(row, column);
  const codePoint = (character: string): number => character.codePointAt(0) ?? 0;
  const sorted = [...text.trim()].sort((a, b) => codePoint(a) - codePoint(b)).join("");
  return row.answer.trim() === sorted ? 1 : 0;
}
