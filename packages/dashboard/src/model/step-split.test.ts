import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { metricColumn } from "@lapidary/api/train-series";
import { phaseShares, stepSplit } from "./step-split.js";

function columns(rows: readonly (readonly [update: number, prefill: number])[]): Parameters<typeof stepSplit>[0] {
  const values = new Map([
    [metricColumn("update_ms"), rows.map(([update]) => update)],
    [metricColumn("seconds_prefill"), rows.map(([, prefill]) => prefill / 1000)],
  ]);
  return { step: rows.map((_, i) => i + 1), names: ["loss", ...values.keys()], last: (name) => values.get(name) ?? [] };
}

describe("the split of a step", () => {
  it("a bar has the phases in the order of the step, in milliseconds whatever their unit is", () => {
    const split = stepSplit(
      columns([
        [30, 10],
        [50, 20],
      ]),
      100,
    );
    deepStrictEqual(split.phases, ["prefill", "update"]);
    deepStrictEqual(split.bars, [
      { from: 1, to: 1, ms: [10, 30], total_ms: 40 },
      { from: 2, to: 2, ms: [20, 50], total_ms: 70 },
    ]);
    strictEqual(split.longest_ms, 70);
    deepStrictEqual(phaseShares(split), [
      { phase: "prefill", ms: 15, share: 15 / 55 },
      { phase: "update", ms: 40, share: 40 / 55 },
    ]);
  });

  it("there are never more bars than the limit, every step is in one bar, and the mean time stays", () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: 99 })), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 80 }), (given, most) => {
        const { bars } = stepSplit(columns(given), most);
        ok(bars.length <= most);
        deepStrictEqual([bars[0]?.from, bars.at(-1)?.to], [1, given.length]);
        bars.slice(1).forEach(({ from }, i) => strictEqual(from, (bars[i]?.to ?? 0) + 1));
        const total = bars.reduce((sum, { from, to, total_ms }) => sum + total_ms * (to - from + 1), 0);
        const expected = given.reduce((sum, [a, b]) => sum + a + b, 0);
        ok(Math.abs(total - expected) < 1e-6 * Math.max(1, expected));
      }),
    );
  });

  it("steps without times, and steps outside of the span, have no bar", () => {
    const split = stepSplit(
      columns([
        [1, 1],
        [Number.NaN, Number.NaN],
        [2, Number.NaN],
        [3, 3],
      ]),
      10,
      { from: 2, to: 3 },
    );
    deepStrictEqual(split.bars, [{ from: 3, to: 3, ms: [0, 2], total_ms: 2 }]);
    deepStrictEqual(stepSplit({ step: [1], names: ["loss"], last: () => [1] }, 10), { phases: [], bars: [], longest_ms: 0 });
  });
});
