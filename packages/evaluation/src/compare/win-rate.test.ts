import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { countOutcomes, logSignTest, outcomeOfScores, signTest, winRate, winRateBySubset } from "../index.js";
import { evaluationGolden, near, nearRelative, tolerance } from "../testing/golden.js";

const count = fc.integer({ min: 0, max: 400 });
const counts = fc.record({ wins: count, ties: count, losses: count }).filter(({ wins, ties, losses }) => wins + ties + losses > 0);

/** 2 Σ C(n, i) / 2^n in integers, rounded once: the definition. */
function exactSignTest(wins: number, losses: number): number {
  const n = BigInt(wins + losses);
  let [term, sum] = [1n, 1n];
  for (let i = 1n; i <= BigInt(Math.min(wins, losses)); i++) {
    term = (term * (n - i + 1n)) / i;
    sum += term;
  }
  const digits = 2n ** 80n;
  const scale = 2n ** n;
  // The quotient has at least 53 significant bits: it is shifted until it does.
  let shift = 0n;
  while ((2n * sum * digits * 2n ** shift) / scale < 2n ** 60n) shift += 64n;
  return Math.min(1, (Number((2n * sum * digits * 2n ** shift) / scale) / 2 ** 80) * 2 ** -Number(shift));
}

describe("the win rate", () => {
  for (const golden of evaluationGolden().win_rate)
    it(`of ${golden.wins} wins, ${golden.ties} ties and ${golden.losses} losses equals the golden`, () => {
      const rate = winRate(golden);
      strictEqual(rate.n, golden.n);
      near(rate.rate, golden.rate, tolerance.rates);
      for (const end of [0, 1] as const) {
        near(rate.normal95[end], golden.normal95[end], tolerance.rates, "normal95");
        near(rate.wilson95[end], golden.wilson95[end], tolerance.rates, "wilson95");
      }
      nearRelative(rate.signTestP, golden.sign_test_p, tolerance.signTestRelative, "sign test");
    });

  it("and both intervals are mirrored if candidate and baseline change roles", () => {
    fc.assert(
      fc.property(counts, ({ wins, ties, losses }) => {
        const [a, b] = [winRate({ wins, ties, losses }), winRate({ wins: losses, ties, losses: wins })];
        near(a.rate, 1 - b.rate, 1e-15);
        for (const name of ["normal95", "wilson95"] as const) {
          near(a[name][0], 1 - b[name][1], 1e-14, name);
          near(a[name][1], 1 - b[name][0], 1e-14, name);
        }
        strictEqual(a.signTestP, b.signTestP);
      }),
    );
  });

  it("is inside both intervals, and the interval of Wilson is inside [0, 1] and has the rate's distance in standard errors at its ends", () => {
    fc.assert(
      fc.property(counts, (some) => {
        const { rate, n, normal95, wilson95 } = winRate(some);
        ok(normal95[0] <= rate && rate <= normal95[1]);
        ok(0 <= wilson95[0] && wilson95[0] <= rate + 1e-15 && rate - 1e-15 <= wilson95[1] && wilson95[1] <= 1);
        const z = 1.959963984540054;
        for (const q of wilson95) near((rate - q) ** 2, (z * z * q * (1 - q)) / n, 1e-12);
      }),
    );
  });

  it("has the normal interval of the sample of scores 0, ½ and 1", () => {
    fc.assert(
      fc.property(counts, ({ wins, ties, losses }) => {
        const scores = [...new Array(wins).fill(1), ...new Array(ties).fill(0.5), ...new Array(losses).fill(0)] as number[];
        const mean = scores.reduce((sum, x) => sum + x, 0) / scores.length;
        const variance = scores.reduce((sum, x) => sum + (x - mean) ** 2, 0) / scores.length;
        const { normal95 } = winRate({ wins, ties, losses });
        near(normal95[1] - normal95[0], 2 * 1.959963984540054 * Math.sqrt(variance / scores.length), 1e-8);
      }),
    );
  });

  it("refuses an evaluation without verdicts", () => {
    throws(() => winRate({ wins: 0, ties: 0, losses: 0 }), { code: "LAP_EVALUATION_EMPTY" });
    throws(() => winRateBySubset([]), { code: "LAP_EVALUATION_EMPTY" });
    throws(() => winRate({ wins: -1, ties: 0, losses: 2 }), /an outcome count/);
  });

  it("by subset counts every row once in `all` and once in its subset, in a fixed order", () => {
    const rows = [
      { outcome: "win" as const, subset: "safety" },
      { outcome: "loss" as const, subset: "factuality" },
      { outcome: "tie" as const },
      { outcome: "win" as const, subset: "safety" },
    ];
    const { all, subsets } = winRateBySubset(rows);
    deepStrictEqual([all.wins, all.ties, all.losses], [2, 1, 1]);
    deepStrictEqual(
      [...subsets].map(([name, { wins, ties, losses }]) => [name, wins, ties, losses]),
      [
        ["factuality", 0, 0, 1],
        ["safety", 2, 0, 0],
      ],
    );
    deepStrictEqual(
      [
        outcomeOfScores(1, 0),
        outcomeOfScores(0, 0),
        outcomeOfScores(0, 1),
        outcomeOfScores(Number.NaN, -9),
        outcomeOfScores(-9, Number.NaN),
      ],
      ["win", "tie", "loss", "loss", "win"],
    );
    deepStrictEqual(countOutcomes(["win", "tie", "win"]), { wins: 2, ties: 1, losses: 0 });
  });
});

describe("the sign test", () => {
  it("equals the sum of integers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), fc.integer({ min: 0, max: 700 }), (wins, losses) => {
        const expected = exactSignTest(wins, losses);
        nearRelative(signTest(wins, losses), expected, 1e-12, `p of ${wins} wins and ${losses} losses`);
      }),
    );
  });

  it("is 1 for equal counts and without counts, and decreases as the counts part", () => {
    strictEqual(signTest(0, 0), 1);
    for (const n of [1, 7, 1000, 1_000_000]) near(signTest(n, n), 1, 0);
    let before = 1;
    for (let wins = 501; wins <= 1000; wins++) {
      const p = signTest(wins, 1000 - wins);
      ok(p < before, `p of ${wins} wins is ${p}, not less than ${before}`);
      before = p;
    }
  });

  it("agrees with the normal approximation for a million verdicts", () => {
    // 2 (1 − Φ(4.001)), where 4.001 = (2001 − ½) / 500 has the correction for continuity.
    nearRelative(signTest(502_001, 497_999), 2 * 3.1538e-5, 1e-3);
  });

  it("keeps a finite logarithm where the probability underflows", () => {
    near(logSignTest(5000, 0), (1 - 5000) * Math.LN2, 1e-9);
    strictEqual(signTest(5000, 0), 0);
  });
});
