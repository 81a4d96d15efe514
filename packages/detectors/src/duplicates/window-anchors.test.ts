import { deepStrictEqual, ok } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import fc from "fast-check";
import { windowAnchors, windowsAround } from "./window-anchors.js";

const anchorsOf = (bytes: Uint8Array, size: number): string[] => [...windowAnchors(bytes, size)].map(({ high, low }) => `${high} ${low}`);

describe("the anchors of windows", () => {
  it("two texts with a window in common have an anchor in common, and their windows around it have that window", () => {
    const text = fc.uint8Array({ max: 3, maxLength: 40 });
    fc.assert(
      fc.property(text, text, text, text, fc.uint8Array({ max: 3, minLength: 1, maxLength: 20 }), (a, b, c, d, common) => {
        const size = common.length;
        const first = Uint8Array.from([...a, ...common, ...b]);
        const second = Uint8Array.from([...c, ...common, ...d]);
        const other = new Set(anchorsOf(second, size));
        const shared = [...windowAnchors(first, size)].filter(({ high, low }) => other.has(`${high} ${low}`));
        const starts = [
          ...windowsAround(
            shared.map(({ start }) => start),
            first.length,
            size,
          ),
        ];
        ok(starts.includes(a.length));
        deepStrictEqual(
          starts,
          [...new Set(starts)].toSorted((x, y) => x - y),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("a text of random bytes has about four anchors for each window, and one that is shorter than a window has none", () => {
    const random = seededRandom(1);
    const bytes = Uint8Array.from({ length: 20_000 }, () => random.integer(256));
    const count = anchorsOf(bytes, 100).length;
    ok(Math.abs(count / ((2 * bytes.length) / 52) - 1) < 0.05, `${count}`);
    deepStrictEqual(anchorsOf(bytes.subarray(0, 99), 100), []);
  });
});
