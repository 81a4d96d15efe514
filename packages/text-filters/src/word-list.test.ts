import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { codePoints, forEachLine, isBlank, splitSpaces, strip } from "./python-text.js";
import { sentenceCount } from "./sentences.js";
import { WordList } from "./word-list.js";
import { patternWords, whitespaceWords } from "./words.js";

const special = fc.constantFrom(
  ...[
    "a",
    "bc",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\x1d",
    "\x85",
    "\u2028",
    "\u3000",
    ".",
    "…",
    "!",
    '"',
    ")",
    "é",
    "e\u0301",
    "😀",
    "𝒳",
    "١",
    "the",
  ],
  ...["\ud83d", "\ude00", "\u180e", "\ufeff"],
);
const texts = fc.oneof(
  fc.array(special, { maxLength: 60 }).map((all) => all.join("")),
  fc.string({ unit: "binary", maxLength: 40 }),
);

const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

describe("the words of a text in arrays", () => {
  for (const splitter of [patternWords, whitespaceWords])
    it(`they are those of the splitter ${splitter.name}, and equal words have one number, in random texts`, () => {
      const list = new WordList(splitter);
      fc.assert(
        fc.property(texts, (text) => {
          list.read(text);
          const words = splitter.words(text);
          const found = Array.from({ length: list.count }, (_, i) =>
            String.fromCharCode(...list.joined.subarray(list.offsets[i], list.offsets[i + 1])),
          );
          deepStrictEqual(found, words);
          const distinct = [...new Set(words)];
          deepStrictEqual(
            [...list.ids.subarray(0, list.count)],
            words.map((word) => distinct.indexOf(word)),
          );
          deepStrictEqual([...list.characters.subarray(0, list.distinct)], distinct.map(codePoints));
          equal(list.textCharacters, codePoints(text));
          equal(list.has("the"), words.includes("the"));
        }),
      );
    });
});

describe("texts as Python sees them", () => {
  it("white space, lines and sentences are those of regular expressions, in random texts", () => {
    const sentenceEnd = /[.!?…。！？]+["'”’»)\]]*(?=\p{White_Space}|$)/gu;
    fc.assert(
      fc.property(texts, (text) => {
        deepStrictEqual(splitSpaces(text), text.match(new RegExp(`[^${space}]+`, "g")) ?? []);
        equal(strip(text), text.replace(new RegExp(`^[${space}]+|[${space}]+$`, "g"), ""));
        equal(isBlank(text), strip(text) === "");
        const lines = text.split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
        if (lines.at(-1) === "") lines.pop();
        const found: string[] = [];
        forEachLine(text, (start, end) => found.push(text.slice(start, end)));
        deepStrictEqual(found, lines);
        const stripped = strip(text);
        const ends = [...stripped.matchAll(sentenceEnd)].map((match) => match.index + match[0].length);
        const rest = (ends.at(-1) ?? 0) < stripped.length || ends.length === 0 ? 1 : 0;
        equal(sentenceCount(stripped), ends.length + rest);
      }),
    );
  });
});
