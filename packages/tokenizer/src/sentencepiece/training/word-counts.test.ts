import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { WordCounts } from "./word-counts.js";

const word = fc.string({ unit: fc.constantFrom("a", "b", "é", "😀", "\ufeff", "\t", "\u2581"), minLength: 1, maxLength: 3 });

describe("word counts", () => {
  const folders = (): number => readdirSync(tmpdir()).filter((name) => name.startsWith("lapidary-words-")).length;

  it("counts on disk equal counts in memory, however many words the memory holds", () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (words, maxWords) => {
        const expected = new Map<string, number>();
        for (const each of words) expected.set(each, (expected.get(each) ?? 0) + 1);
        const counts = new WordCounts(maxWords);
        for (const each of words) counts.add(each);
        const entries = [...counts.entries()];
        deepStrictEqual(new Map(entries), expected);
        strictEqual(entries.length, expected.size);
        deepStrictEqual([...counts.entries()], entries);
        counts.close();
      }),
    );
  });

  it("close removes the files", () => {
    const before = folders();
    const counts = new WordCounts(1);
    counts.add("a");
    strictEqual(folders(), before + 1);
    counts.close();
    strictEqual(folders(), before);
  });
});
