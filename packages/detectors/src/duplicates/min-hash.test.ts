import { hash32 } from "@lapidary/std";
import { deepStrictEqual, equal, notDeepStrictEqual } from "node:assert/strict";
import { bandKeys, bands, minHash, shingleHashes } from "./min-hash.js";
import { plainWords } from "./plain-words.js";

describe("signatures of documents", () => {
  it("case, punctuation, layout, accents and numbers do not change the words", () => {
    deepStrictEqual(plainWords("  Café №5,\n\tON 12.5 or ٣٤ — e\u0301te\u0301! "), ["cafe", "№0", "on", "0", "or", "0", "ete"]);
    deepStrictEqual(plainWords("…!?"), []);
  });

  it("a text of fewer words than a shingle has no signature, and one of as many words has", () => {
    equal(minHash(shingleHashes(["a", "b", "c", "d"], 5)), undefined);
    equal(minHash(shingleHashes(["a", "b", "c", "d", "e"], 5))?.length, 112);
  });

  it("the order and the number of equal shingles do not change the signature", () => {
    const shingles = shingleHashes("a b c d e f g a b c d e f g".split(" "), 5);
    deepStrictEqual(minHash(shingles), minHash(shingles.toReversed().subarray(0, shingles.length)));
    deepStrictEqual(minHash(shingles), minHash(Uint32Array.from(new Set(shingles))));
  });

  it("words in another order have other shingles", () => {
    notDeepStrictEqual(shingleHashes(["a", "b"], 2), shingleHashes(["b", "a"], 2));
  });

  it("a key depends on each hash of its band and on the band, and on no other hash", () => {
    const signature = Uint32Array.from({ length: 112 }, (_, i) => i);
    const keys = bandKeys(signature);
    for (const [at] of signature.entries()) {
      const changed = bandKeys(signature.with(at, 999));
      deepStrictEqual(
        keys.map((key, band) => key === changed[band]),
        keys.map((_, band) => band !== Math.floor(at / 8)),
      );
    }
    equal(new Set(bandKeys(new Uint32Array(112))).size, bands);
  });

  it("a signature of any shape has the least hash of each function", () => {
    const shingles = Uint32Array.from({ length: 50 }, (_, i) => hash32(i, 7));
    for (const shape of [
      { bands: 1, rowsPerBand: 1 },
      { bands: 3, rowsPerBand: 5 },
      { bands: 14, rowsPerBand: 8 },
    ]) {
      const least = (i: number): number =>
        Math.min(...Array.from(shingles, (shingle) => (Math.imul(hash32(i, 1) | 1, shingle) + hash32(i, 2)) >>> 0));
      const expected = Array.from({ length: shape.bands * shape.rowsPerBand }, (_, i) => least(i));
      deepStrictEqual([...(minHash(shingles, shape) ?? [])], expected);
    }
  });
});
