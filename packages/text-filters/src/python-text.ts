// Texts as Python sees them. The published filters are Python programs, and their verdicts depend on its white space, lines and lengths.

const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const leading = new RegExp(`^[${space}]+`, "u");
const isSpace = new RegExp(`[${space}]`, "u");
const visible = new RegExp(`[^${space}]`, "u");
const notSpaces = new RegExp(`[^${space}]+`, "gu");
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/u;

/** `str.lstrip()` */
export const stripStart = (text: string): string => text.replace(leading, "");

/** `str.rstrip()`, in linear time: a regular expression for the end of a text is quadratic in runs of white space. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/** `str.strip()` */
export const strip = (text: string): string => stripEnd(stripStart(text));

/** `str.strip() == ""` */
export const isBlank = (text: string): boolean => !visible.test(text);

/** `str.split()` */
export const splitSpaces = (text: string): string[] => text.match(notSpaces) ?? [];

/** `str.splitlines()` */
export function splitLines(text: string): string[] {
  const lines = text.split(lineEnd);
  if (lines.at(-1) === "") lines.pop();
  return lines;
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
