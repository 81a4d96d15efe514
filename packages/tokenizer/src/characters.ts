/**
 * The character classes that determine the segments of a text before byte-pair merging. They are fixed ranges of code
 * points, not Unicode properties, so that the segments do not depend on the version of Node, ICU or Oniguruma.
 */
export const CharacterClass = { digit: 0, whitespace: 1, letter: 2, symbol: 3 } as const;
export type CharacterClass = (typeof CharacterClass)[keyof typeof CharacterClass];

/** Inclusive ranges of code points; all other code points are symbols. */
type Ranges = readonly (readonly [first: number, last: number])[];

const digits: Ranges = [[0x30, 0x39]];
const whitespace: Ranges = [
  [0x09, 0x0d],
  [0x20, 0x20],
];
const letters: Ranges = [
  [0x41, 0x5a],
  [0x61, 0x7a],
  [0xc0, 0x1fff], // Latin with accents to Greek extended, combining marks and Indic scripts among them
  [0x2c00, 0x2dff],
  [0x3040, 0xd7ff], // kana, CJK, Hangul
  [0xf900, 0xfdff],
  [0xfe70, 0xfefc],
  [0x10000, 0x1bfff],
  [0x20000, 0x3ffff],
];

/** Maximum number of characters (code points) in a segment. It bounds the time of merging and the size of the cache. */
export const maxSegmentLength = 64;

const bmp = classTable();

/** The class of the code point that starts with UTF-16 unit `unit` at `index` of `text`. */
export function classAt(text: string, index: number): CharacterClass {
  const unit = text.charCodeAt(index);
  if (unit >= 0xd800 && unit <= 0xdbff) {
    const codePoint = text.codePointAt(index) ?? unit;
    return codePoint > 0xffff && contains(letters, codePoint) ? CharacterClass.letter : CharacterClass.symbol;
  }
  return bmp[unit] as CharacterClass;
}

/**
 * The rule of `forEachSegment` (segments.ts) as a regular expression whose matches tile any text.
 *
 * @param escape the notation of a code point in the dialect: `\u{…}` in JavaScript, `\x{…}` in Oniguruma
 */
export function segmentPattern(escape: "u" | "x"): string {
  const write = (codePoint: number): string => `\\${escape}{${codePoint.toString(16).toUpperCase()}}`;
  const set = (...ranges: readonly Ranges[]): string =>
    ranges.flatMap((range) => range.map(([first, last]) => (first === last ? write(first) : `${write(first)}-${write(last)}`))).join("");
  const many = `{1,${maxSegmentLength}}`;
  const space = `${write(0x20)}`;
  return [
    `[${set(digits)}]`,
    `${space}?[${set(letters)}]${many}`,
    `${space}?[^${set(digits, whitespace, letters)}]${many}`,
    `[${set(whitespace)}]${many}(?=${space}[^${set(digits, whitespace)}])`,
    `[${set(whitespace)}]${many}`,
  ].join("|");
}

function contains(ranges: Ranges, codePoint: number): boolean {
  return ranges.some(([first, last]) => codePoint >= first && codePoint <= last);
}

function classTable(): Uint8Array {
  const table = new Uint8Array(0x10000).fill(CharacterClass.symbol);
  const assign = (ranges: Ranges, value: CharacterClass): void => {
    for (const [first, last] of ranges) if (first <= 0xffff) table.fill(value, first, Math.min(last, 0xffff) + 1);
  };
  assign(digits, CharacterClass.digit);
  assign(whitespace, CharacterClass.whitespace);
  assign(letters, CharacterClass.letter);
  return table;
}
