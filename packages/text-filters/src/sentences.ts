import { isSpace } from "./python-text.js";

const unitsOf = (characters: string): ReadonlySet<number> => new Set(Array.from(characters, (each) => each.charCodeAt(0)));
const marks = unitsOf(".!?…。！？");
const closers = unitsOf("\"'”’»)]");

/** The property White_Space of Unicode. Python counts four separators too. */
const isWhiteSpace = (unit: number): boolean => isSpace(unit) && (unit < 0x1c || unit > 0x1f);

/**
 * Sentences of a text without white space at its ends: each ends after marks and closing quotes before white space, and the last one at the end of the
 * text.
 */
export function sentenceCount(text: string): number {
  let [count, end] = [0, 0];
  for (let at = 0; at < text.length; ) {
    if (!isMark(text.charCodeAt(at++))) continue;
    while (at < text.length && isMark(text.charCodeAt(at))) at++;
    while (at < text.length && closers.has(text.charCodeAt(at))) at++;
    if (at < text.length && !isWhiteSpace(text.charCodeAt(at))) continue;
    count++;
    end = at;
  }
  return end < text.length || count === 0 ? count + 1 : count;
}

const isMark = (unit: number): boolean => (unit < 0x80 ? unit === 0x2e || unit === 0x21 || unit === 0x3f : marks.has(unit));
