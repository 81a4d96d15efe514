import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type CheckedReward, isForeignScore, NegativeKl, rewardHacking } from "../index.js";

const at = (step: number, reward: number, check: number): CheckedReward => ({ step, reward, check, checkStd: 0.4, count: 100 });

describe("the guard against reward hacking", () => {
  it("it fires if the reward is higher and the check lower than at the best check, by more than chance", () => {
    const [first, best, last] = [at(1, 0.1, 0.5), at(2, 0.5, 0.9), at(3, 1.6, 0.2)];
    deepStrictEqual(rewardHacking([first, best, last]), { from: best, to: last });
  });

  it("it stays silent while both rise, both fall, or the check falls by chance", () => {
    for (const some of [
      [at(1, 0.1, 0.5), at(2, 0.5, 0.9)],
      [at(1, 0.5, 0.9), at(2, 0.1, 0.2)],
      [at(1, 0.1, 0.5), at(2, 0.5, 0.45)],
      [at(1, 0.1, 0.5)],
      [],
    ])
      strictEqual(rewardHacking(some), undefined);
  });

  it("it also fires a long time after the best check", () => {
    const [best, last] = [at(1, 0.1, 0.9), at(9, 0.6, 0.5)];
    deepStrictEqual(rewardHacking([best, at(2, 0.2, 0.8), at(3, 0.4, 0.7), last]), { from: best, to: last });
  });
});

describe("the guard against a negative KL", () => {
  const after = (estimates: readonly number[]): boolean => {
    const guard = new NegativeKl();
    return estimates.map((k1) => guard.add(k1)).at(-1) ?? false;
  };

  it("it fires after 10 steps in a row with a negative estimate, and not after 9", () => {
    strictEqual(after(Array.from({ length: 10 }, () => -0.1)), true);
    strictEqual(after(Array.from({ length: 9 }, () => -0.1)), false);
  });

  it("a positive estimate starts the count again, and rounding is not negative", () => {
    strictEqual(after([...Array.from({ length: 9 }, () => -0.1), 0.1, -0.1]), false);
    strictEqual(after(Array.from({ length: 20 }, () => -1e-9)), false);
  });
});

describe("the guard against answers that a reward model does not know", () => {
  it("a mean score is foreign if it is more than three standard deviations from that of known answers", () => {
    deepStrictEqual(
      [3.1, 2.9, -2.9, -3.1].map((score) => isForeignScore(score, { mean: 0, std: 1 })),
      [true, false, false, true],
    );
  });
});
