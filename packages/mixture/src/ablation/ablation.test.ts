import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import { fitAblation } from "./ablation.js";
import { leastSquares } from "./least-squares.js";
import { chooseModel, type LossModel } from "./loss-models.js";
import { recommendMixture } from "./recommend.js";

const random = seededRandom(1);
const sharesOf = (sources: number): number[] => {
  const raw = Array.from({ length: sources }, () => -Math.log(random.next() + 1e-12));
  const sum = raw.reduce((total, each) => total + each, 0);
  return raw.map((each) => each / sum);
};
const observe = (law: LossModel, count: number, noise = 0): { readonly shares: number[]; readonly loss: number }[] =>
  Array.from({ length: count }, () => {
    const shares = sharesOf(4);
    return { shares, loss: law(shares) + noise * (random.next() - 0.5) };
  });
const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, each, i) => sum + each * (b[i] ?? 0), 0);

describe("models of losses by mixture", () => {
  it("least squares finds the coefficients of exact data", () => {
    const rows = Array.from({ length: 12 }, () => sharesOf(3));
    const found = leastSquares(
      rows,
      rows.map((row) => dot(row, [2, -1, 0.5])),
      1e-10,
    );
    deepStrictEqual(
      found.map((each) => Number(each.toFixed(5))),
      [2, -1, 0.5],
    );
  });

  it("the chosen model is that of the law, and predicts unseen mixtures", () => {
    const exponential: LossModel = (shares) => 2 + 1.3 * Math.exp(dot(shares, [-2, 0.1, -0.4, -1]));
    const withProducts: LossModel = (shares) => exponential(shares) - 0.9 * (shares[0] ?? 0) * (shares[2] ?? 0);
    for (const [law, name] of [
      [exponential, "exponential"],
      [withProducts, "exponential with products"],
    ] as const) {
      const { name: chosen, predict, heldOutError } = chooseModel(observe(law, 80, 0.001));
      equal(chosen, name);
      ok(heldOutError < 0.005);
      for (const { shares, loss } of observe(law, 20)) ok(Math.abs(predict(shares) - loss) < 0.01);
    }
  });

  it("small runs give the form and large runs the scale of each domain", () => {
    const small: LossModel = (shares) => 3 + Math.exp(dot(shares, [-2, 0.3, -0.5, -1]));
    const runs = [
      ...observe(small, 60).map(({ shares, loss }) => ({ size: "1M", shares, losses: { web: loss, code: 2 * loss } })),
      ...observe(small, 6).map(({ shares, loss }) => ({ size: "60M", shares, losses: { web: 0.5 * loss + 1, code: loss } })),
    ];
    const { predict, models } = fitAblation(runs, { small: "1M", large: "60M", weights: { web: 0.25, code: 0.75 } });
    deepStrictEqual(Object.keys(models), ["web", "code"]);
    for (const { shares, loss } of observe(small, 10)) ok(Math.abs(predict(shares) - (0.25 * (0.5 * loss + 1) + 0.75 * loss)) < 0.01);
  });

  it("the recommended mixture uses as much of the best source as it may, and its shares sum to 1", () => {
    const most = [0.2, 0.5, 0.9, 0.9];
    const shares = recommendMixture((of) => dot(of, [1, 2, 3, 4]), most);
    deepStrictEqual(
      shares.map((share) => Number(share.toFixed(3))),
      [0.2, 0.5, 0.3, 0],
    );
    ok(Math.abs(shares.reduce((sum, each) => sum + each, 0) - 1) < 1e-9);
  });
});
