import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { levenshtein, recitation } from "./recitation.js";

const document = Array.from({ length: 120 }, (_, i) => i);
const truth = document.slice(50, 100);

describe("recitation", () => {
  it("a document of 99 tokens is not tested, and one of 100 tokens is", () => {
    equal(recitation(document.slice(0, 99), truth).tested, false);
    deepStrictEqual(recitation(document.slice(0, 100), truth), { tested: true, exact: true, approximate: true, distance: 0 });
  });

  it("5 of 50 changed tokens are approximate, and 6 are not", () => {
    const changed = (n: number): number[] => truth.map((token, i) => (i % 8 === 0 && i / 8 < n ? -1 : token));
    deepStrictEqual(recitation(document, changed(5)), { tested: true, exact: false, approximate: true, distance: 5 });
    deepStrictEqual(recitation(document, changed(6)), { tested: true, exact: false, approximate: false, distance: 6 });
  });

  it("tokens past the continuation do not count, and missing tokens do", () => {
    equal(recitation(document, [...truth, 7, 8]).exact, true);
    equal(recitation(document, truth.slice(0, 44)).distance, 6);
  });

  it("the edit distance is 0 only for equal sequences, is symmetric, and obeys the triangle inequality", () => {
    const tokens = fc.array(fc.nat(3), { maxLength: 8 });
    fc.assert(
      fc.property(tokens, tokens, tokens, (a, b, c) => {
        equal(levenshtein(a, b) === 0, a.join() === b.join());
        equal(levenshtein(a, b), levenshtein(b, a));
        equal(levenshtein(a, c) <= levenshtein(a, b) + levenshtein(b, c), true);
      }),
    );
  });

  it("one insertion, deletion or substitution costs 1", () => {
    deepStrictEqual([levenshtein([1, 2], [1, 3, 2]), levenshtein([1, 3, 2], [1, 2]), levenshtein([1, 2], [1, 3])], [1, 1, 1]);
    equal(levenshtein([1, 2, 3, 4], [2, 3, 4, 5]), 2);
  });
});
