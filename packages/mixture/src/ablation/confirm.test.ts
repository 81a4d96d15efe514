import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { measuredGain } from "./confirm.js";
import type { SeededRun } from "./seeded-run.js";

const run = (mixture: number, seed: number, web: number, code: number): SeededRun => ({
  size: "large",
  mixture,
  seed,
  shares: [0.5, 0.5],
  losses: { web, code },
});
const goal = { web: 0.25, code: 0.75 };

describe("confirmation of a recommended mixture", () => {
  it("the gain is the mean over the seeds of the weighted losses of both mixtures, and its error is that of the pairs", () => {
    const recommended = [run(-1, 0, 4, 3), run(-1, 1, 6, 3.2), run(-1, 2, 4, 3.6)];
    const natural = [run(0, 2, 4, 3.8), run(0, 0, 4, 3.4), run(0, 1, 6, 3)];
    const found = measuredGain(recommended, natural, goal);
    ok(found !== undefined);
    const gains = [0.75 * 0.4, 0.75 * -0.2, 0.75 * 0.2];
    const mean = (gains[0] ?? 0) / 3 + (gains[1] ?? 0) / 3 + (gains[2] ?? 0) / 3;
    const error = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / 2 / 3);
    ok(Math.abs(found.gain - mean) < 1e-12 && Math.abs((found.standardError ?? 0) - error) < 1e-12);
    deepStrictEqual([found.better, found.recommended.length], [2, 3]);
  });

  it("one seed has no error, and without a run of the natural mixture with the same seed there is nothing to compare", () => {
    strictEqual(measuredGain([run(-1, 0, 4, 3)], [run(0, 0, 4, 3)], goal)?.standardError, undefined);
    strictEqual(measuredGain([run(-1, 0, 4, 3)], [run(0, 1, 4, 3)], goal), undefined);
  });
});
