import { equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { makePaint } from "../terminal/paint.js";
import { sampleText } from "./sample-text.js";

const plain = makePaint(false);

describe("sample text", () => {
  it("every line has a bar, and the prompt is bold", () => {
    equal(sampleText({ prompt: "The", text: " model\nreads" }, 80, plain), "  │ The model\n  │ reads");
    equal(sampleText({ prompt: "The", text: " model" }, 80, makePaint(true)), "  \x1b[2m│\x1b[22m \x1b[1mThe\x1b[22m model");
  });

  it("control characters of the text are replaced", () => {
    const text = sampleText({ prompt: "", text: "a\x1b[2Jb\r\u009bc\x7f" }, 80, plain);
    ok(!/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text), JSON.stringify(text));
  });

  it("wrapping keeps every letter", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{1,30}$/), { maxLength: 40 }), (words) => {
        const text = words.join(" ");
        const shown = sampleText({ prompt: "", text }, 40, plain)
          .split("\n")
          .map((line) => line.slice(4));
        equal(shown.join("").replaceAll(" ", ""), text.replaceAll(" ", ""));
        ok(shown.every((line) => line.length <= 34));
      }),
    );
  });
});
