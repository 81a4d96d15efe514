import { strictEqual, deepStrictEqual } from "node:assert/strict";
import {
  editDistance,
  fitsF32,
  floatOf,
  formatBytes,
  formatDuration,
  hash32,
  jsonText,
  normalAt,
  seededRandom,
  suggest,
  textTable,
} from "./index.js";

describe("std", () => {
  it("floatOf reads the infinite numbers and NaN that jsonText writes", () => {
    const row = { a: Infinity, b: -Infinity, c: Number.NaN, d: 1.5, e: null, f: "null" };
    strictEqual(jsonText(row), '{"a":"Infinity","b":"-Infinity","c":"NaN","d":1.5,"e":null,"f":"null"}');
    deepStrictEqual(["Infinity", "-Infinity", "NaN", null, 2, "x", undefined].map(floatOf), [
      Infinity,
      -Infinity,
      Number.NaN,
      Number.NaN,
      2,
      undefined,
      undefined,
    ]);
    strictEqual(jsonText({ a: 1 }, 1), '{\n "a": 1\n}');
    deepStrictEqual([formatDuration(Infinity), formatBytes(Number.NaN)], ["Infinity", "NaN"]);
  });

  it("fitsF32 accepts exactly the numbers without overflow and underflow", () => {
    deepStrictEqual([0, 1, -3.4e38, 1.2e-38].map(fitsF32), [true, true, true, true]);
    deepStrictEqual([3.5e38, 1e-60, 1e-40, Infinity, Number.NaN].map(fitsF32), [false, false, false, false, false]);
  });

  it("suggest returns a near key, and nothing if no key is near", () => {
    strictEqual(suggest("bacth", ["batch", "mesh", "zero"]), "batch");
    strictEqual(suggest("qqqqqq", ["batch", "mesh"]), undefined);
    strictEqual(editDistance("abc", "acb"), 1);
  });

  it("normal numbers have mean 0 and variance 1, independently of the order of draws", () => {
    const n = 20000;
    let [sum, squares] = [0, 0];
    for (let i = 0; i < n; i++) {
      const x = normalAt(7, i);
      sum += x;
      squares += x * x;
    }
    strictEqual(Math.abs(sum / n) < 0.03, true);
    strictEqual(Math.abs(squares / n - 1) < 0.05, true);
    strictEqual(hash32(1, 2) !== hash32(2, 1), true);
  });

  it("the same seed repeats the same numbers", () => {
    const [a, b] = [seededRandom(3), seededRandom(3)];
    for (let i = 0; i < 10; i++) strictEqual(a.next(), b.next());
  });

  it("bytes, durations and tables are formatted for users", () => {
    strictEqual(formatBytes(1536), "1.50 KiB");
    strictEqual(formatDuration(185_000), "3m 05s");
    strictEqual(textTable([{ title: "op" }, { title: "n", align: "right" }], [["all_gather", "3"]]), "op          n\nall_gather  3");
  });
});
