import { deepStrictEqual, throws } from "node:assert/strict";
import { applyCutOffRule } from "./scores.js";

const inputs = (scores: readonly number[], isCutOff: readonly number[]): Parameters<typeof applyCutOffRule>[1] => ({
  scores: Float32Array.from(scores),
  ends: { lengths: Int32Array.from(scores, () => 4), isCutOff: Uint8Array.from(isCutOff) },
  generations: 4,
  newTokens: 4,
  step: 3,
});

describe("rules for cut-off completions", () => {
  it("mask gives a cut-off completion the mean score of the completions of its group that ended", () => {
    const given = inputs([1, 2, 6, 100, 5, 5, 5, 5], [0, 0, 0, 1, 1, 1, 1, 1]);
    deepStrictEqual([...applyCutOffRule({ rule: "mask" }, given)], [1, 2, 6, 3, 0, 0, 0, 0]);
  });

  it("with mask, the advantages of the other completions are those without the cut-off completion, times one factor", () => {
    const scores = [...applyCutOffRule({ rule: "mask" }, inputs([1, 2, 6, 100], [0, 0, 0, 1]))];
    const advantages = (rows: readonly number[]): number[] => {
      const sum = rows.reduce((a, b) => a + b, 0);
      return rows.map((row) => row - (sum - row) / (rows.length - 1));
    };
    const alone = advantages([1, 2, 6]);
    const within = advantages(scores);
    deepStrictEqual(
      within.map((advantage, row) => (row === 3 ? advantage : (advantage / (alone[row] ?? 0)).toFixed(6))),
      ["0.888889", "0.888889", "0.888889", 0],
    );
  });

  it("penalty gives cut-off completions one score, and refuses a rollout in which no completion ended", () => {
    deepStrictEqual([...applyCutOffRule({ rule: "penalty", score: -1 }, inputs([1, 2, 3, 4], [0, 1, 0, 0]))], [1, -1, 3, 4]);
    throws(() => applyCutOffRule({ rule: "penalty", score: -1 }, inputs([1, 2, 3, 4], [1, 1, 1, 1])), { code: "LAP_RL_CUT_OFF" });
  });

  it("score changes no score", () => {
    deepStrictEqual([...applyCutOffRule({ rule: "score" }, inputs([1, 2, 3, 4], [1, 1, 1, 1]))], [1, 2, 3, 4]);
  });
});
