import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { codePoints } from "./python-text.js";
import { TextMeter } from "./measures.js";
import { duplicateSizes, topSizes } from "./repetition.js";
import { patternWords, whitespaceWords } from "./words.js";

/** Characters of repeated runs by the definition: a repeated run is skipped, and a new one moves the window by one word. */
function repeatedByDefinition(words: readonly string[], n: number): number {
  const seen = new Set<string>();
  let [characters, i] = [0, 0];
  while (i + n <= words.length) {
    const run = words.slice(i, i + n).join("");
    if (seen.has(run)) characters += codePoints(run);
    i += seen.has(run) ? n : 1;
    seen.add(run);
  }
  return characters;
}

function topByDefinition(words: readonly string[], n: number): number {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= words.length; i++) {
    const run = words.slice(i, i + n).join(" ");
    counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  let [top, times] = ["", 0];
  for (const [run, count] of counts) if (count > times) [top, times] = [run, count];
  return codePoints(top) * times;
}

/** Few different words, so that runs repeat; some concatenations of them are equal. */
const someWords = fc.array(fc.constantFrom("a", "b", "ab", "aab", "𝒳", "é"), { maxLength: 120 });

describe("measures of repetition", () => {
  const meter = new TextMeter(whitespaceWords);

  it("repeated runs and the most frequent run have the characters of their definitions, in random texts", () => {
    fc.assert(
      fc.property(someWords, (words) => {
        const text = `${words.join(" ")} `;
        const { measures } = meter.measure(text);
        const share = (characters: number): number => characters / codePoints(text);
        for (const n of duplicateSizes) equal(measures[`repetition.duplicate_${n}`], share(repeatedByDefinition(words, n)));
        for (const n of topSizes) equal(measures[`repetition.top_${n}`], share(topByDefinition(words, n)));
      }),
    );
  });

  it("lines and paragraphs count from their second occurrence, by number and by characters", () => {
    const text = "one\ntwo\none\n\n\none\ntwo\none";
    const { measures } = new TextMeter(patternWords).measure(text);
    deepStrictEqual(
      [
        measures["repetition.paragraphs"],
        measures["repetition.paragraph_characters"],
        measures["repetition.lines"],
        measures["repetition.line_characters"],
      ],
      [1 / 2, 11 / 25, 4 / 6, 12 / 25],
    );
  });
});
