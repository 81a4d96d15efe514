import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { exposure, otherValues, secretIn } from "./exposure.js";

const partOf = (text: string, part?: string): string | undefined => {
  const found = secretIn(text, part);
  return found === undefined ? undefined : text.slice(found.start, found.end);
};

describe("exposure", () => {
  it("the most probable of 16 values has 4 bits, the least probable 0, and a tie counts as less probable", () => {
    const others = Array.from({ length: 15 }, (_, i) => -10 - i);
    deepStrictEqual([exposure(-9, others), exposure(-30, others), exposure(-10, others)], [4, 0, 3]);
  });

  it("secrets that are as probable as the other values have 1.44 bits on average", () => {
    const ranks = Array.from({ length: 256 }, (_, i) =>
      exposure(
        -i - 0.5,
        Array.from({ length: 255 }, (__, j) => -j - (j < i ? 0 : 1)),
      ),
    );
    const mean = ranks.reduce((sum, each) => sum + each, 0) / ranks.length;
    ok(Math.abs(mean - Math.LOG2E) < 0.03, String(mean));
  });

  it("the secret of a text is its longest run of digits, or the given part", () => {
    equal(partOf("In 1773 the code of Owen is 6 2 4 6 9, twice."), "6 2 4 6 9");
    equal(partOf("call 555-0199 or 12"), "555-0199");
    equal(partOf("no number of 3 digits: 123"), undefined);
    equal(partOf("a key xq-7Ab, and 12345", "xq-7Ab"), "xq-7Ab");
    equal(partOf("a text", "absent"), undefined);
    equal(partOf("a text", ""), undefined);
  });

  it("other values have the shape of the secret, differ from it, and are the same for the same seed", () => {
    const shape = (text: string): string => text.replace(/\d/g, "0").replace(/[a-z]/g, "a").replace(/[A-Z]/g, "A");
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 12 }), fc.nat(), (secret, seed) => {
        const values = otherValues(secret, 7, seed);
        deepStrictEqual(values, otherValues(secret, 7, seed));
        for (const value of values) {
          equal(shape(value), shape(secret));
          ok(value !== secret);
        }
        if (/\d/.test(secret)) ok(values.length > 0);
        if (!/[0-9a-zA-Z]/.test(secret)) equal(values.length, 0);
      }),
    );
  });
});
