import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { StopStrings } from "./stop-strings.js";

/** The released pieces of a text that arrives in `pieces`, with the end if no stop string is complete. */
function release(stops: readonly string[], pieces: readonly string[]): { readonly pieces: string[]; readonly stopped: boolean } {
  const matcher = new StopStrings(stops);
  const released: string[] = [];
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    released.push(text);
    if (stopped) return { pieces: released, stopped };
  }
  return { pieces: [...released, matcher.end()], stopped: false };
}

describe("stop strings", () => {
  it("text that may be the start of a stop string is held back until it is decided", () => {
    deepStrictEqual(release(["END"], ["a", "E", "N", "b"]), { pieces: ["a", "", "", "ENb", ""], stopped: false });
    deepStrictEqual(release(["END"], ["a", "E", "N"]), { pieces: ["a", "", "", "EN"], stopped: false });
  });

  it("a stop string across pieces ends the text before it", () => {
    deepStrictEqual(release(["END"], ["aE", "N", "Db"]), { pieces: ["a", "", ""], stopped: true });
    deepStrictEqual(release(["\n\n"], ["a\n", "\nb"]), { pieces: ["a", ""], stopped: true });
  });

  it("a stop string that repeats its own start is found after a partial match", () => {
    deepStrictEqual(release(["aab"], ["a", "a", "a", "b"]), { pieces: ["", "", "a", ""], stopped: true });
    deepStrictEqual(release(["abcabd"], ["abcabcabd"]), { pieces: ["abc"], stopped: true });
  });

  it("the stop string that is complete first counts, and of two the longer one", () => {
    deepStrictEqual(release(["cd", "b"], ["abcd"]), { pieces: ["a"], stopped: true });
    deepStrictEqual(release(["c", "bc"], ["abcd"]), { pieces: ["a"], stopped: true });
  });

  it("a text without stop strings passes unchanged", () => {
    deepStrictEqual(release([], ["a", "b"]), { pieces: ["a", "b", ""], stopped: false });
  });

  it("every division into pieces releases the same text, and holds back less than the longest stop string", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 40 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }), (text, texts, lengths) => {
        const pieces: string[] = [];
        for (let at = 0, i = 0; at < text.length; i++) {
          const length = lengths[i % lengths.length] ?? 1;
          pieces.push(text.slice(at, at + length));
          at += length;
        }
        const released = release(texts, pieces);
        const ends = texts.flatMap((stop) => (text.includes(stop) ? [text.indexOf(stop) + stop.length] : []));
        const end = Math.min(...ends);
        const length = Math.max(0, ...texts.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => stop.length));
        strictEqual(released.stopped, ends.length > 0);
        strictEqual(released.pieces.join(""), ends.length > 0 ? text.slice(0, end - length) : text);
        const longest = Math.max(...texts.map((stop) => stop.length));
        const matcher = new StopStrings(texts);
        const { text: first, stopped } = matcher.push(text);
        ok(stopped || text.length - first.length < longest);
      }),
      { numRuns: 500, seed: 11 },
    );
  });
});
