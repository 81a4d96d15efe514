// Texts as Python sees them. The published filters are Python programs, and their verdicts depend on its white space, lines and lengths.

/** A UTF-16 unit that `str.isspace()` accepts; no such character has two units. */
export const isSpace = (unit: number): boolean =>
  unit <= 0x20 ? unit === 0x20 || (unit >= 0x09 && unit <= 0x0d) || unit >= 0x1c : unit >= 0x85 && isWideSpace(unit);

const isWideSpace = (unit: number): boolean =>
  unit === 0x85 || unit === 0xa0 || (unit >= 0x1680 && (unit === 0x1680 || (unit >= 0x2000 && unit <= 0x200a) || otherSpaces.has(unit)));

const otherSpaces: ReadonlySet<number> = new Set([0x2028, 0x2029, 0x202f, 0x205f, 0x3000]);

/** Where `str.lstrip()` would begin, within a part of a text. */
export function skipSpaces(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Where `str.rstrip()` would end, within a part of a text. */
export function skipSpacesBack(text: string, start: number, end: number): number {
  let at = end;
  while (at > start && isSpace(text.charCodeAt(at - 1))) at--;
  return at;
}

/** `str.strip()` */
export function strip(text: string): string {
  const start = skipSpaces(text, 0, text.length);
  return text.slice(start, skipSpacesBack(text, start, text.length));
}

/** `str.strip() == ""` */
export const isBlank = (text: string): boolean => skipSpaces(text, 0, text.length) === text.length;

/** `str.split()` */
export function splitSpaces(text: string): string[] {
  const words: string[] = [];
  for (let at = skipSpaces(text, 0, text.length); at < text.length; at = skipSpaces(text, at, text.length)) {
    const start = at;
    while (at < text.length && !isSpace(text.charCodeAt(at))) at++;
    words.push(text.slice(start, at));
  }
  return words;
}

const isLineEnd = (unit: number): boolean =>
  unit <= 0x1e ? (unit >= 0x0a && unit <= 0x0d) || unit >= 0x1c : unit === 0x85 || unit === 0x2028 || unit === 0x2029;

/** The lines of `str.splitlines()`, as places in the text. */
export function forEachLine(text: string, onLine: (start: number, end: number) => void): void {
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (!isLineEnd(unit)) continue;
    onLine(start, at);
    if (unit === 0x0d && text.charCodeAt(at + 1) === 0x0a) at++;
    start = at + 1;
  }
  if (start < text.length) onLine(start, text.length);
}

/** `len(str)`: code points. */
export function codePoints(text: string): number {
  let count = text.length;
  for (let i = 0; i + 1 < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) !== 0xd800 || (text.charCodeAt(i + 1) & 0xfc00) !== 0xdc00) continue;
    count--;
    i++;
  }
  return count;
}

/** `str.count(part)`: occurrences that do not overlap. */
export function countOf(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}

const number = /\p{Nd}+(?:[.,،٫⎖⎗⎘]\p{Nd}+)?/gu;

/** The text with `0` in the place of every number, as datatrove normalizes it. */
export const normalizedNumbers = (text: string): string => text.replace(number, "0");
