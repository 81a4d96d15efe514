import { deepStrictEqual } from "node:assert/strict";
import { patternWords, whitespaceWords } from "@lapidary/text-filters";
import fc from "fast-check";
import { normalizedScanner, normalizedWords } from "./decontamination/published-rules.js";
import { plainWordScanner, plainWords } from "./duplicates/plain-words.js";
import { stringHash } from "./word-hash.js";
import type { WordScanner } from "./word-scanner.js";
import { wordScanner, wordsOf } from "./words.js";

const scanners: Readonly<Record<string, { readonly scanner: WordScanner; readonly words: (text: string) => readonly string[] }>> = {
  "of plain words": { scanner: plainWordScanner(), words: plainWords },
  "of words without accents": { scanner: wordScanner(), words: wordsOf },
  "of words as datatrove normalizes them": { scanner: normalizedScanner(patternWords), words: normalizedWords(patternWords) },
  "between white space": { scanner: normalizedScanner(whitespaceWords), words: normalizedWords(whitespaceWords) },
};

/** Characters that a normalization changes, joins, drops or splits, and numbers. */
const special = fc.constantFrom(
  ..."aB \n.,'’1٣²½-…",
  ...[
    "é",
    "e\u0301",
    "\u0301",
    "Σ",
    "ς",
    "İ",
    "ß",
    "ﬁ",
    "한",
    "글",
    "漢",
    "ไ",
    "\u09cb",
    "\u0903",
    "㎏",
    "№",
    "€",
    "\u00a0",
    "\x1c",
    "\x85",
  ],
  ...["😀", "𝟙", "𝒳", "\u{1d165}", "\ud83d", "\ude00", "\u037e", "ŉ", "12.5", "1,٣", "K"],
);
const texts = fc.oneof(
  fc.array(special, { maxLength: 40 }).map((all) => all.join("")),
  fc.string({ unit: "binary", maxLength: 40 }),
);

describe("a scanner of words", () => {
  for (const [name, { scanner, words }] of Object.entries(scanners))
    it(`the words and hashes of the scanner ${name} are those of the strings, in random texts`, () => {
      fc.assert(
        fc.property(texts, (text) => {
          const { count, hashes } = scanner.read(text);
          const expected = words(text);
          deepStrictEqual(
            Array.from({ length: count }, (_, i) => scanner.word(i)),
            expected,
          );
          deepStrictEqual([...hashes.subarray(0, count)], expected.map(stringHash));
        }),
        { numRuns: 2000 },
      );
    });

  it("a long text that grows does not lose words", () => {
    const { scanner, words } = scanners["of words without accents"] ?? { scanner: wordScanner(), words: wordsOf };
    const text = "ﷺ ﬃ word ".repeat(3000);
    deepStrictEqual(scanner.read(text).count, words(text).length);
  });
});
