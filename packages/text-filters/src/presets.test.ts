import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type MeasureName, TextMeter } from "./measures.js";
import { presets } from "./presets.js";
import { droppedBy } from "./rules.js";
import { patternWords, whitespaceWords } from "./words.js";

const meter = new TextMeter(patternWords);

const verdict = (name: string, text: string): string | undefined =>
  droppedBy(presets.find((preset) => preset.name === name)?.rules ?? [], meter.measure(text).measures);

/** Different words with one stop word in four. */
const prose = (words: number): string =>
  Array.from({ length: words }, (_, i) =>
    i % 4 === 0
      ? (["the", "of", "and", "with"][(i / 4) % 4] ?? "")
      : `word${String.fromCharCode(97 + (i % 26))}${"bcdfg"[i % 5]}${"hjklmnp"[i % 7]}`,
  ).join(" ");

describe("presets", () => {
  it("every rule keeps a text at its limit and drops a text just past it", () => {
    const all = Object.fromEntries(Object.keys(meter.measure("a").measures).map((name) => [name, Number.NaN]));
    for (const { rules } of presets)
      for (const rule of rules) {
        const at = rule.below ?? rule.above ?? Number.NaN;
        const past = at + (rule.below === undefined ? 1e-9 : -1e-9);
        const measures = (value: number): Record<MeasureName, number> => ({ ...all, [rule.measure]: value }) as Record<MeasureName, number>;
        equal(droppedBy([rule], measures(at)), undefined);
        equal(droppedBy([rule], measures(past)), rule.reason);
      }
  });

  it("the first rule that drops a text is its reason", () => {
    deepStrictEqual(verdict("gopher_quality", "## ## ##"), "gopher_short_doc");
    deepStrictEqual(verdict("c4_quality", "A line of lorem ipsum that ends.\nA line with { that ends."), "lorem_ipsum");
    deepStrictEqual(verdict("c4_quality", "A line with { that ends.\nA line of lorem ipsum that ends."), "curly_bracket");
  });

  it("Gopher counts words that are more than punctuation: 50 are enough, and 49 are not", () => {
    equal(verdict("gopher_quality", `${prose(50)} ! ?`), undefined);
    equal(verdict("gopher_quality", `${prose(49)} ! ? . ,`), "gopher_short_doc");
  });

  it("Gopher counts bullets and ellipses by lines, and white space before and after them does not count", () => {
    const lines = (n: number, bullet: string, end: string): string =>
      Array.from({ length: n }, () => `${bullet}${prose(8)}${end}`).join("\n");
    equal(verdict("gopher_quality", `${lines(9, " - ", "")}\n${prose(8)}`), undefined);
    equal(verdict("gopher_quality", lines(10, " • ", "")), "gopher_too_many_bullets");
    equal(verdict("gopher_quality", `${lines(3, "", "… ")}\n${lines(7, "", "")}`), undefined);
    equal(verdict("gopher_quality", `${lines(4, "", "...\t")}\n${lines(6, "", "")}`), "gopher_too_many_end_ellipsis");
  });

  it("C4 removes lines without an end, of two words, about cookies, and citations within lines", () => {
    const text = [
      "It was built in 1201.[3]",
      "Home",
      "So it.",
      "This site uses cookies.",
      "Please enable Javascript now.",
      "It goes on...",
    ].join("\n");
    const padded = `${text}\n${"It is a line of the text.\n".repeat(5)}`;
    const { measures, c4Text } = meter.measure(padded);
    equal(measures["c4.sentences"], 6);
    equal(c4Text, `It was built in 1201.\n${"It is a line of the text.\n".repeat(5)}`.trim());
  });

  it("FineWeb drops a text whose lines do not end sentences, are short, or repeat", () => {
    const line = (i: number, end: string): string => `${prose(9)} number ${"abcdefghijklmnopqrstuvwxyz".charAt(i)}${end}`;
    const lines = (n: number, end: string): string[] => Array.from({ length: n }, (_, i) => line(i, end));
    equal(verdict("fineweb_quality", lines(8, ".").join("\n")), undefined);
    equal(verdict("fineweb_quality", lines(8, "").join("\n")), "line_punct_ratio");
    equal(
      verdict(
        "fineweb_quality",
        lines(8, "")
          .map((each) => `${each.slice(0, 29)}.`)
          .join("\n"),
      ),
      "short_line_ratio",
    );
    equal(verdict("fineweb_quality", [...lines(8, "."), line(0, ".")].join("\n")), "char_dup_ratio");
    equal(verdict("fineweb_quality", " \n\t\n"), "empty");
  });

  it("measures of an empty text drop it where a rule asks for characters, lines, words or sentences", () => {
    deepStrictEqual(
      presets.map(({ name }) => verdict(name, "")),
      ["too_few_sentences", "gopher_short_doc", "empty", "empty"],
    );
  });

  it("white space of Python separates words; controls that are white space for Python only are words of the pattern", () => {
    deepStrictEqual(whitespaceWords.words("a\x1cb\x85c\ufeffd"), ["a", "b", "c\ufeffd"]);
    deepStrictEqual(patternWords.words("it's 3\u00a0é\x1c!"), ["it", "'", "s", "3", "é", "\x1c", "!"]);
    ok(patternWords.words("").length === 0);
  });
});
