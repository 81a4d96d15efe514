import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { PartCache } from "./part-cache.js";
import { TextUnits } from "./text-units.js";

const symbolsOf = (cache: PartCache, part: number): number[] => [...cache.numbers.subarray(part, cache.endOf(part))];

describe("the cache of parts", () => {
  const unitsOf = (text: string): Uint16Array => new TextUnits().read(text).units;
  const text = unitsOf("one two six");

  it("parts with equal hashes and lengths are told apart by their characters", () => {
    const cache = new PartCache();
    strictEqual(cache.find(text, 0, 3, 7), -1);
    cache.add(text, 0, 3, 7, Int32Array.of(1));
    strictEqual(cache.find(text, 4, 7, 7), -1);
    cache.add(text, 4, 7, 7, Int32Array.of(2, 3));
    deepStrictEqual(symbolsOf(cache, cache.find(unitsOf("xxtwo"), 2, 5, 7)), [2, 3]);
    deepStrictEqual(symbolsOf(cache, cache.find(text, 0, 3, 7)), [1]);
    strictEqual(cache.find(text, 0, 2, 7), -1);
  });

  it("a full cache forgets its parts and takes new ones", () => {
    const cache = new PartCache();
    cache.add(text, 0, 3, -1, Int32Array.of(9));
    for (let hash = 0; hash < 1 << 17; hash++) cache.add(text, 4, 7, hash, Int32Array.of(hash));
    strictEqual(cache.find(text, 0, 3, -1), -1);
    deepStrictEqual(symbolsOf(cache, cache.find(text, 4, 7, (1 << 17) - 1)), [(1 << 17) - 1]);
  });
});
