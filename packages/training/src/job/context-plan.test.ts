import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { slowestShare } from "./context-plan.js";

/** Scores of each part, counted one by one. */
function countedShare(seq: number, parts: number, window: number, balanced: boolean): number {
  const ofPart = Array<number>(parts).fill(0);
  for (let position = 0; position < seq; position++) {
    const piece = Math.floor((position * (balanced ? 2 * parts : parts)) / seq);
    const part = balanced ? Math.min(piece, 2 * parts - 1 - piece) : piece;
    ofPart[part] = (ofPart[part] ?? 0) + Math.min(position + 1, window);
  }
  return Math.max(...ofPart) / (ofPart.reduce((a, b) => a + b) / parts);
}

describe("the work of attention on parts of a row", () => {
  it("the last of n parts of a row has 2 − 1/n times the mean of the scores, and balanced parts have equal scores", () => {
    ok(Math.abs(slowestShare(1 << 20, 16, [1 << 20], false) - (2 - 1 / 16)) < 1e-5);
    strictEqual(slowestShare(1 << 20, 16, [1 << 20], true), 1);
  });

  it("slowestShare is the share that a count of all scores gives, with windows and in both orders", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 80 }),
        fc.boolean(),
        (parts, length, window, balanced) => {
          const seq = 2 * parts * length;
          const width = Math.min(window, seq);
          ok(Math.abs(slowestShare(seq, parts, [width], balanced) - countedShare(seq, parts, width, balanced)) < 1e-9);
        },
      ),
    );
  });
});
