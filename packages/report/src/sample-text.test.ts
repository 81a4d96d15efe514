import { equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { makePaint } from "./paint.js";
import { SampleStream, sampleText, sampleTexts } from "./sample-text.js";

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

  it("several texts have a line with seed and prompt", () => {
    const texts = [
      { prompt: "The", text: " end", seed: 3 },
      { prompt: "A\nB", text: "C", seed: 4 },
    ];
    const options = { columns: 80, paint: plain };
    equal(sampleTexts(texts, { ...options, isChat: false }), "seed 3  The\n  │ The end\n\nseed 4  A B\n  │ A\n  │ BC");
    equal(sampleTexts(texts, { ...options, isChat: true }), "seed 3  The\n  │  end\n\nseed 4  A B\n  │ C");
  });

  it("a stream writes the same lines for any pieces, none longer than the width, with every letter", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z ]{1,30}\n?$/), { maxLength: 40 }), (pieces) => {
        const streamed = (parts: readonly string[]): string => {
          let written = "";
          const stream = new SampleStream(40, plain, (text) => (written += text));
          stream.begin("the prompt ");
          for (const part of parts) stream.push(part);
          stream.end();
          return written;
        };
        const text = streamed(pieces);
        equal(text, streamed([...pieces.join("")]));
        const lines = text.trimEnd().split("\n");
        ok(
          lines.every((line) => line.startsWith("  │") && line.trimEnd().length <= 38),
          text,
        );
        equal(text.replace(/[\s│]/g, ""), `theprompt${pieces.join("").replace(/\s/g, "")}`);
      }),
    );
  });
});
