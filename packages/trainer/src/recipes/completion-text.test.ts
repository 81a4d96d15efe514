import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { byteTokenizer, encodePair, endAnswer, promptOfUser } from "@lapidary/data";
import { stopNames } from "./rl-metrics.js";
import { decodeAll, stopRule } from "./completion-text.js";

const { eos, endOfTurn } = byteTokenizer.control;

describe("the end of a completion", () => {
  it("a completion ends at the end of a turn or of a text, and metrics name both", () => {
    const { stopTokens, endTokens } = stopRule(byteTokenizer);
    deepStrictEqual([stopTokens, endTokens], [[endOfTurn, eos], 1]);
    deepStrictEqual(
      stopTokens.map((id) => stopNames(byteTokenizer).get(id)),
      ["end_of_turn", "eos"],
    );
  });

  it("a reward model reads the same ids of a sampled answer as of an answer in its training data", () => {
    const pair = encodePair(
      { kind: "preference", file: "f", row: 1, prompt: "2+2", chosen: "4", rejected: "5" } as Parameters<typeof encodePair>[0],
      byteTokenizer,
      { seq: 99 },
    );
    const prompt = promptOfUser("2+2", byteTokenizer);
    for (const stop of stopRule(byteTokenizer).stopTokens)
      deepStrictEqual([...prompt, ...endAnswer([...byteTokenizer.encode("4"), stop], byteTokenizer).ids], [...pair.chosen.ids]);
  });
});

describe("the text of a completion", () => {
  it("an id that the tokenizer does not have is a replacement character, so that a checker sees a wrong answer", () => {
    const tokenizer = { vocabSize: 100, decode: (ids: Iterable<number>): string => String.fromCharCode(...ids) };
    strictEqual(decodeAll(tokenizer, [65, 66]), "AB");
    strictEqual(decodeAll(tokenizer, [65, 100, 66, 280]), "A\uFFFDB\uFFFD");
  });
});
