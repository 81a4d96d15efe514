import { codePoints, isBlank } from "./python-text.js";
import { endsSentence } from "./punctuation.js";

/** A line is short if it has at most this many code points. */
const shortLine = 30;

/** Counts of the lines between line feeds. A line is a duplicate if it equals an earlier one. */
export interface LineCounts {
  readonly feeds: number;
  /** Of lines that are not empty. */
  readonly lines: number;
  readonly duplicates: number;
  readonly duplicateCharacters: number;
  /** Of lines that are not blank. */
  readonly visible: number;
  readonly visibleDuplicateCharacters: number;
  readonly ended: number;
  readonly short: number;
}

export function countLines(text: string): LineCounts {
  const seen = new Set<string>();
  const parts = text.split("\n");
  let [lines, duplicates, duplicateCharacters, visible, visibleDuplicateCharacters, ended, short] = [0, 0, 0, 0, 0, 0, 0];
  for (const line of parts) {
    if (line === "") continue;
    lines++;
    const isVisible = !isBlank(line);
    if (isVisible) {
      visible++;
      if (endsSentence(line)) ended++;
      if (line.length <= 2 * shortLine && codePoints(line) <= shortLine) short++;
    }
    const before = seen.size;
    if (seen.add(line).size > before) continue;
    const characters = codePoints(line);
    duplicates++;
    duplicateCharacters += characters;
    if (isVisible) visibleDuplicateCharacters += characters;
  }
  return { feeds: parts.length - 1, lines, duplicates, duplicateCharacters, visible, visibleDuplicateCharacters, ended, short };
}

/** Parts that equal an earlier one, and their characters. */
export function duplicatesOf(parts: readonly string[]): { readonly count: number; readonly characters: number } {
  const seen = new Set<string>();
  let [count, characters] = [0, 0];
  if (parts.length < 2) return { count, characters };
  for (const part of parts) {
    if (!seen.has(part)) seen.add(part);
    else [count, characters] = [count + 1, characters + codePoints(part)];
  }
  return { count, characters };
}
