import { deepStrictEqual, match } from "node:assert/strict";
import { labelledTexts } from "./labelled-texts.js";
import { parseExamples } from "./read-examples.js";

describe("labelled texts", () => {
  it("the texts of the model get the label of their row, and a row without a label is refused", () => {
    const rows = [
      { text: "one", label: 1 },
      { text: "two", label: "safe" },
      { text: "three", label: true },
      { text: "four", label: false },
      { text: "five", label: "harmful" },
      { text: "six" },
    ];
    const { examples } = parseExamples(Buffer.from(rows.map((row) => JSON.stringify(row)).join("\n")), "a.jsonl", { columns: "keep" });
    const { texts, refused } = labelledTexts(examples);
    deepStrictEqual(
      texts.map(({ text, isPositive }) => [text, isPositive]),
      [
        ["one", true],
        ["two", false],
        ["three", true],
        ["four", false],
      ],
    );
    deepStrictEqual(
      refused.map(({ row, code }) => [row, code]),
      [
        [5, "LAP_EXAMPLE_VALUE"],
        [6, "LAP_EXAMPLE_VALUE"],
      ],
    );
    match(refused[0]?.reason ?? "", /`label` is "harmful", expected true, false/);
  });

  it("only the answers of the model are labelled", () => {
    const row = { prompt: "How?", completion: "Like this.", label: 0 };
    const { examples } = parseExamples(Buffer.from(JSON.stringify(row)), "a.jsonl", { columns: "keep" });
    deepStrictEqual(labelledTexts(examples).texts, [{ text: "Like this.", isPositive: false }]);
  });
});
