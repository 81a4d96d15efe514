import { deepStrictEqual, notDeepStrictEqual, strictEqual } from "node:assert/strict";
import { byteTokenizer, type Example } from "@lapidary/data";
import { promptSource } from "./prompt-source.js";

const example = (row: number, prompt: string): Example => ({
  kind: "prompt",
  file: "prompts.jsonl",
  row,
  columns: { answer: row },
  prompt,
});
const files = [
  { name: "prompts.jsonl", examples: [..."abcdefgh"].map((letter, i) => example(i + 1, letter)) },
  { name: "long.jsonl", examples: [example(1, "x"), example(2, "a prompt of more tokens than a row has")], share: 0.5 },
];
const source = (seed: number): ReturnType<typeof promptSource> =>
  promptSource(files, { tokenizer: byteTokenizer, seed, prompts: 4, promptTokens: 20 });
const texts = (steps: readonly number[], seed = 1): string[] =>
  steps.flatMap((step) =>
    source(seed)
      .promptsOf(step)
      .map(({ text }) => text),
  );

describe("prompts of a run", () => {
  it("the prompts are a function of the seed and the step", () => {
    deepStrictEqual(texts([3]), texts([0, 1, 2, 3]).slice(12));
    notDeepStrictEqual(texts([0, 1]), texts([0, 1], 2));
  });

  it("an epoch has each prompt of a file without a share, and the share of the other file", () => {
    deepStrictEqual(texts([0, 1, 2, 3]).sort().join(""), "abcdefghxxxxxxxx");
  });

  it("a prompt has the ids of the template and the columns of its row, and a prompt that is too long is refused", () => {
    const { refused, promptsOf } = source(1);
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [[2, "LAP_EXAMPLE_TOO_LONG"]],
    );
    for (const { ids, text, columns } of promptsOf(0)) {
      strictEqual(String.fromCharCode((ids[7] ?? 0) - 4), text);
      strictEqual(text === "x" ? 1 : "abcdefgh".indexOf(text) + 1, columns["answer"]);
    }
  });
});
