import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { drawCurve } from "./curve.js";

const points = (values: readonly number[]): { step: number; value: number }[] => values.map((value, i) => ({ step: i + 1, value }));

describe("loss curve", () => {
  it("a falling curve runs from the top left to the bottom right, with scale and steps", () => {
    equal(
      drawCurve(points(Array.from({ length: 40 }, (_, i) => 6 - i / 13)), { width: 20, height: 4 }),
      [
        "6.00 ┤⠉⠒⠤⢄⣀",
        "     │     ⠉⠒⠢⢄⣀",
        "     │          ⠉⠑⠢⠤⣀",
        "3.00 ┤               ⠉⠑⠒⠤⣀",
        "     └────────────────────",
        "      step 1            40",
      ].join("\n"),
    );
  });

  it("the curve averages points of one column and connects distant points", () => {
    const lines = drawCurve(
      [
        { step: 1, value: 1 },
        { step: 100, value: 0 },
      ],
      { width: 10, height: 2 },
    ).split("\n");
    ok(
      lines.slice(0, 2).every((line) => /[\u2801-\u28ff]/.test(line)),
      lines.join("\n"),
    );
    const noisy = points(Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? 1 : 3)));
    const scale = drawCurve(noisy, { width: 5, height: 2 }).match(/\d\.\d\d/g);
    deepStrictEqual(scale, ["2.01", "1.99"]);
  });

  it("a curve without values is a message", () => {
    equal(drawCurve(points([Number.NaN]), { width: 10, height: 2 }), "(no values to draw)");
  });

  it("the size of the curve does not depend on its values", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 8, max: 60 }),
        fc.integer({ min: 2, max: 9 }),
        (values, width, height) => {
          const lines = drawCurve(points(values), { width, height }).split("\n");
          const room = (lines[0] ?? "").search(/[┤│]/);
          deepStrictEqual([lines.length, lines.every((line) => line.length <= room + 1 + Math.max(width, 20))], [height + 2, true]);
        },
      ),
    );
  });
});
