import { deepStrictEqual } from "node:assert/strict";
import type { WinResult } from "@lapidary/api/comparison";
import { winRows } from "./win-rates.js";

const result = (rate: number, wilson95: [number, number]): WinResult => ({
  ...{ wins: 1, ties: 0, losses: 0, n: 1, rate, wilson95, normal95: [0, 1], sign_test_p: 1, scores: null, equal_answers: 0 },
  ...{
    contradictions: null,
    contradiction_share: null,
    first_share: null,
    winner_mean_length: null,
    loser_mean_length: null,
    longer_share: null,
  },
});

describe("win rates of a comparison", () => {
  it("all prompts come first, then the subsets by name, and an interval decides only if it excludes one half", () => {
    const rows = winRows({
      result: result(0.6, [0.51, 0.7]),
      result_by_subset: { safety: result(0.4, [0.3, 0.49]), refusal: result(0.9, [0.5, 1]) },
    });
    deepStrictEqual(
      rows.map(({ subset, low, rate, high, verdict }) => [subset, low, rate, high, verdict]),
      [
        [undefined, 0.51, 0.6, 0.7, "better"],
        ["refusal", 0.5, 0.9, 1, "undecided"],
        ["safety", 0.3, 0.4, 0.49, "worse"],
      ],
    );
  });

  it("a set without verdicts has no rows, and an interval stays within the plot", () => {
    deepStrictEqual(winRows({ result: null, result_by_subset: {} }), []);
    const [row] = winRows({ result: result(1, [0.9, 1.0000001]), result_by_subset: {} });
    deepStrictEqual([row?.high, row?.verdict], [1, "better"]);
  });
});
