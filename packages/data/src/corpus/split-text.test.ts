import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { prose } from "@lapidary/std/testing";
import { splitIntoDocuments } from "./split-text.js";

describe("splitting into documents", () => {
  it("the split reads each character at most three times, independently of the separators", () => {
    for (const unit of ["word ", "word\n", "word\r\n", "word\r", "word", "\n", " ", "word word word\n\n"]) {
      const text = unit.repeat(Math.ceil(400_000 / unit.length));
      let charactersRead = 0;
      const counting = new Proxy(Object(text) as object, {
        get: (_, key) => {
          if (key === "length") return text.length;
          if (key === "charCodeAt") return (at: number) => text.charCodeAt(at);
          if (key === "indexOf")
            return (what: string, from = 0) => {
              const at = text.indexOf(what, from);
              charactersRead += (at < 0 ? text.length : at) - from;
              return at;
            };
          if (key === "slice")
            return (from: number, to = text.length) => {
              charactersRead += to - from;
              return text.slice(from, to);
            };
          return undefined;
        },
      }) as unknown as string;
      strictEqual(splitIntoDocuments(counting, 1000).join(""), text);
      ok(charactersRead <= 3 * text.length, `${JSON.stringify(unit)}: ${charactersRead} of ${text.length}`);
    }
  });

  it("a text with line ends of Windows is split at its empty lines", () => {
    const paragraphs = Array.from({ length: 60 }, (_, i) =>
      prose(500 + i, 4)
        .trim()
        .replaceAll("\n", " "),
    );
    const cut = (separator: string): string[] => splitIntoDocuments(paragraphs.join(separator), 400).map((part) => part.trim());
    deepStrictEqual(cut("\r\n\r\n").map((part) => part.replaceAll("\r", "")).length > 5, true);
    ok(cut("\r\n\r\n").every((part) => part.endsWith(".")));
  });

  it("the split loses no text, splits no character, and no part exceeds twice the target", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("word ", "\n", "\n\n", "😀", "xxxxxxxxxxxx")).map((parts) => parts.join("")),
        fc.integer({ min: 2, max: 40 }),
        (text, target) => {
          const parts = splitIntoDocuments(text, target);
          strictEqual(parts.join(""), text);
          for (const part of parts) ok(part.length > 0 && part.length <= 2 * target && Buffer.from(part).toString() === part);
        },
      ),
    );
  });
});
