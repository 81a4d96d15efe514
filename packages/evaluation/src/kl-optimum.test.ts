import { deepStrictEqual, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { klOptimum, meanKlOptimum } from "./index.js";
import { near, nearRelative } from "./testing/golden.js";

const probability = fc.double({ min: 0.001, max: 0.999, noNaN: true });
const beta = fc.double({ min: 0.05, max: 20, noNaN: true });

/** KL of two coins in nats. */
const coinKl = (a: number, p: number): number =>
  (a === 0 ? 0 : a * Math.log(a / p)) + (a === 1 ? 0 : (1 - a) * Math.log((1 - a) / (1 - p)));

describe("the KL-regularised optimum of a checkable task", () => {
  it("is p e^(1/β) / (p e^(1/β) + 1 − p), with the KL of the two coins", () => {
    fc.assert(
      fc.property(probability, beta, (p, b) => {
        const e = Math.exp(1 / b);
        const { accuracy, kl } = klOptimum(p, b);
        near(accuracy, (p * e) / (p * e + 1 - p), 1e-12);
        near(kl, coinKl(accuracy, p), 1e-9);
      }),
    );
  });

  it("has a higher reward less β KL than every other accuracy", () => {
    fc.assert(
      fc.property(probability, beta, fc.double({ min: 0, max: 1, noNaN: true }), (p, b, other) => {
        const { accuracy, kl } = klOptimum(p, b);
        ok(accuracy - b * kl >= other - b * coinKl(other, p) - 1e-9);
      }),
    );
  });

  it("grows in p, falls in β, and spends less KL for a larger β", () => {
    fc.assert(
      fc.property(probability, beta, (p, b) => {
        ok(klOptimum(p, b).accuracy >= p);
        ok(klOptimum(p, b).accuracy >= klOptimum(p, 1.1 * b).accuracy);
        ok(klOptimum(p, b).kl >= klOptimum(p, 1.1 * b).kl - 1e-12);
        ok(klOptimum(Math.min(1, 1.01 * p), b).accuracy >= klOptimum(p, b).accuracy);
      }),
    );
  });

  it("has exact limits: a certain reference, β of 0, and a β whose e^(1/β) overflows", () => {
    deepStrictEqual(
      [klOptimum(0, 0.1), klOptimum(1, 0.1)],
      [
        { accuracy: 0, kl: 0 },
        { accuracy: 1, kl: 0 },
      ],
    );
    for (const b of [0, 1e-6]) {
      const { accuracy, kl } = klOptimum(0.25, b);
      near(accuracy, 1, 0);
      near(kl, Math.log(4), 1e-15);
    }
    deepStrictEqual(klOptimum(0.25, Number.POSITIVE_INFINITY), { accuracy: 0.25, kl: 0 });
    nearRelative(klOptimum(0.3, 1e4).kl, 0.21 / 2 / 1e8, 1e-3, "KL of a weak reward");
  });

  it("of prompts is the mean of their optima, which is below the optimum of the mean p", () => {
    // The accuracy is concave in p.
    const { accuracy } = meanKlOptimum(Float64Array.of(0.1, 0.9), 0.5);
    near(accuracy, (klOptimum(0.1, 0.5).accuracy + klOptimum(0.9, 0.5).accuracy) / 2, 1e-15);
    ok(accuracy < klOptimum(0.5, 0.5).accuracy);
  });

  it("is refused for a negative β and for no prompts", () => {
    for (const b of [-1, Number.NaN]) throws(() => klOptimum(0.5, b), { code: "LAP_EVALUATION_SETTING" });
    throws(() => meanKlOptimum([], 1), { code: "LAP_EVALUATION_EMPTY" });
    throws(() => klOptimum(1.5, 1), /a probability is from 0 to 1/);
  });
});
