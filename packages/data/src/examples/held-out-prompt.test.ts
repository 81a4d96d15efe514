import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { heldOutPrompt, lastText } from "./held-out-prompt.js";
import { parseExamples } from "./read-examples.js";

const promptOf = (row: object): unknown => {
  const { examples, refused } = parseExamples(Buffer.from(JSON.stringify(row)), "a.jsonl");
  deepStrictEqual(refused, []);
  return examples.map(heldOutPrompt)[0];
};

describe("prompts of held-out examples", () => {
  it("the answer of a completion or a dialogue becomes the column answer", () => {
    deepStrictEqual(promptOf({ prompt: "2+2", completion: "4", subset: "sums", id: "a" }), {
      kind: "prompt",
      file: "a.jsonl",
      row: 1,
      subset: "sums",
      prompt: "2+2",
      columns: { id: "a", answer: "4" },
    });
    const messages = ["a", "b", "c", "d"].map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
    deepStrictEqual(promptOf({ messages }), {
      kind: "prompt",
      file: "a.jsonl",
      row: 1,
      prompt: [
        { role: "user", content: "a" },
        { role: "model", content: "b" },
        { role: "user", content: "c" },
      ],
      columns: { answer: "d" },
    });
  });

  it("a prompt keeps its columns, a preference gives its prompt, and a text has none", () => {
    const prompt = { kind: "prompt", file: "a.jsonl", row: 1, prompt: "2+2" };
    deepStrictEqual(promptOf({ prompt: "2+2", answer: 4 }), { ...prompt, columns: { answer: 4 } });
    deepStrictEqual(promptOf({ prompt: "2+2", chosen: "4", rejected: "5" }), { ...prompt, columns: {} });
    strictEqual(promptOf({ text: "once" }), undefined);
  });

  it("the last text of a dialogue is its last turn", () => {
    strictEqual(lastText("a"), "a");
    strictEqual(
      lastText([
        { role: "system", content: "s" },
        { role: "user", content: "u" },
      ]),
      "u",
    );
  });
});
