import { strictEqual } from "node:assert/strict";
import { decodeAll } from "./completion-text.js";

describe("the text of a completion", () => {
  it("an id that the tokenizer does not have is a replacement character, so that a checker sees a wrong answer", () => {
    const tokenizer = { vocabSize: 100, decode: (ids: Iterable<number>): string => String.fromCharCode(...ids) };
    strictEqual(decodeAll(tokenizer, [65, 66]), "AB");
    strictEqual(decodeAll(tokenizer, [65, 100, 66, 280]), "A\uFFFDB\uFFFD");
  });
});
