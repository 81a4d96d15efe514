import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import { prose } from "@lapidary/std/testing";
import { wordScanner } from "../words.js";
import { MinHashIndex, signatureOf, similarityOf } from "./min-hash-index.js";
import { OverlapIndex } from "../overlap.js";
import { nGrams, wordsOf } from "../words.js";

/** Words that no other text has. */
const unique = (name: string, count: number): readonly string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);

/** Two texts of `size` 5-grams with Jaccard similarity s: they share a run of words. */
function pairOf(name: string, size: number, similarity: number): readonly [string, string] {
  const common = Math.round((2 * size * similarity) / (1 + similarity));
  const shared = unique(`${name}s`, common + 4);
  const own = (which: string): readonly string[] => unique(`${name}${which}`, size - common);
  return [[...shared, ...own("a")].join(" "), [...shared, ...own("b")].join(" ")];
}

const signature = (text: string): Uint32Array => signatureOf(wordScanner().read(text)) ?? new Uint32Array();

describe("MinHash", () => {
  it("the share of equal hashes estimates the Jaccard similarity", () => {
    for (const similarity of [0.2, 0.5, 0.8]) {
      const pairs = Array.from({ length: 20 }, (_, i) => pairOf(`p${i}x`, 200, similarity));
      const estimates = pairs.map(([a, b]) => similarityOf(signature(a), signature(b)));
      const mean = estimates.reduce((sum, each) => sum + each, 0) / estimates.length;
      // The standard deviation of the mean is at most 0.5 / √(112 · 20) = 0.011.
      ok(Math.abs(mean - similarity) < 0.04, `${mean} estimates ${similarity}`);
    }
  });

  it("pairs are found with the probability 1 − (1 − s⁸)¹⁴", () => {
    for (const similarity of [0.5, 0.7, 0.9]) {
      const pairs = 200;
      const index = new MinHashIndex();
      let found = 0;
      for (let i = 0; i < pairs; i++) {
        const [a, b] = pairOf(`q${i}x`, 60, similarity);
        strictEqual(index.add(a), undefined);
        if (index.add(b)?.of === 2 * i) found++;
      }
      const expected = 1 - (1 - similarity ** 8) ** 14;
      const deviation = Math.sqrt((expected * (1 - expected)) / pairs);
      ok(Math.abs(found / pairs - expected) < 4 * deviation + 0.03, `${found / pairs} for ${expected}`);
    }
  });

  it("copies with other case, punctuation and line breaks are duplicates of the first one, and other texts are not", () => {
    const index = new MinHashIndex();
    const texts = Array.from({ length: 30 }, (_, i) => prose(i, 12));
    for (const text of texts) strictEqual(index.add(text), undefined);
    const copy = (texts[7] ?? "").toUpperCase().replaceAll(". ", ";\n");
    deepStrictEqual(
      [index.add(copy), index.add(copy)],
      [
        { of: 7, similarity: 1 },
        { of: 7, similarity: 1 },
      ],
    );
  });

  it("a text with one changed sentence is a near-duplicate", () => {
    const index = new MinHashIndex();
    const text = prose(1, 40);
    index.add(text);
    const found = index.add(`${text.slice(0, 400)} Another sentence is here now. ${text.slice(400)}`);
    ok(found !== undefined && found.similarity > 0.8);
  });

  it("short texts are duplicates only if they are equal, and texts without words never are", () => {
    const index = new MinHashIndex();
    deepStrictEqual(
      ["a b", "a c", "A, b!", "…", "?"].map((text) => index.add(text)?.of),
      [undefined, undefined, 0, undefined, undefined],
    );
  });
});

describe("the overlap with an evaluation set", () => {
  const random = seededRandom(3);
  const sentence = unique("w", 40).map((word) => (random.integer(2) === 0 ? word : word.toUpperCase()));
  const index = new OverlapIndex([
    { name: "row 1 of held.jsonl", text: sentence.join(" ") },
    { name: "row 2 of held.jsonl", text: "52713" },
  ]);

  it("13 consecutive words are an overlap, and 12 are not", () => {
    const from = (count: number): string => `before ${sentence.slice(10, 10 + count).join(", ")} after`;
    strictEqual(index.find(from(13))?.name, "row 1 of held.jsonl");
    strictEqual(index.find(from(12)), undefined);
  });

  it("a short text overlaps only if the whole text is the same", () => {
    strictEqual(index.find(" 52713.")?.name, "row 2 of held.jsonl");
    strictEqual(index.find("sort 52713"), undefined);
  });
});

describe("the words of a text", () => {
  it("words have no case, accents, apostrophes and punctuation, and characters of unspaced scripts are words", () => {
    deepStrictEqual(wordsOf("Don’t say “NAÏVE” — 日本語 ok_1!"), ["dont", "say", "naive", "日", "本", "語", "ok", "1"]);
    deepStrictEqual(nGrams(["a", "b", "c"], 2), ["a b", "b c"]);
    deepStrictEqual([nGrams(["a"], 2), nGrams([], 2)], [["a"], []]);
  });
});
