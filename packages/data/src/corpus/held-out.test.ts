import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { hasCode } from "@lapidary/tokenizer/testing";
import { prose } from "@lapidary/std/testing";
import { splitHeldOut } from "./held-out.js";

describe("the held-out split", () => {
  const corpus = Array.from({ length: 60 }, (_, i) => ({ source: `${i}`, text: prose(300 + i, 5), group: i - (i % 3) }));

  it("every document is in one split, no group is divided, and the held-out size is near the requested size", () => {
    const { train, heldout } = splitHeldOut(corpus, 0.2, "x");
    deepStrictEqual(
      [...train, ...heldout].map(({ source }) => Number(source)).toSorted((a, b) => a - b),
      corpus.map((_, i) => i),
    );
    const groups = new Set(train.map(({ group }) => group));
    ok(heldout.every(({ group }) => !groups.has(group)));
    ok(heldout.length >= 9 && heldout.length <= 18);
  });

  it("the split depends on the texts of the documents, not on their order", () => {
    deepStrictEqual(splitHeldOut(corpus.toReversed(), 0.2, "x"), splitHeldOut(corpus, 0.2, "x"));
  });

  it("copies are in one split, and a corpus of one group is split by document", () => {
    const copies = corpus.slice(0, 10).flatMap((document) => [
      { ...document, group: 0 },
      { ...document, source: `copy of ${document.source}`, group: 0 },
    ]);
    const { train, heldout } = splitHeldOut(copies, 0.2, "x");
    const texts = new Set(train.map(({ text }) => text));
    ok(heldout.length > 0 && heldout.every(({ text }) => !texts.has(text)));
  });

  it("300,000 documents with two different texts are split", () => {
    const equal = Array.from({ length: 300_000 }, (_, i) => ({ source: `${i}`, text: i % 2 === 0 ? "yes" : "no", group: 0 }));
    const { train, heldout } = splitHeldOut(equal, 0.5, "x");
    strictEqual(train.length, 150_000);
    strictEqual(heldout.length, 150_000);
  });

  it("a corpus of one document cannot be split, which is an error", () => {
    throws(
      () =>
        splitHeldOut(
          [
            { source: "a", text: "x", group: 0 },
            { source: "b", text: "x", group: 1 },
          ].slice(0, 1),
          0.1,
          "place",
        ),
      hasCode("LAP_DATA_TOO_SMALL", "place"),
    );
  });
});
