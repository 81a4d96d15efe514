import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { extrapolate, type SearchOptions, searchPlans } from "./search-plans.js";

/** Plans are the numbers 0 to 9. A larger number has less time and more memory. */
const options = (change: Partial<SearchOptions<number>> = {}): SearchOptions<number> => ({
  starts: [0],
  neighbours: (n) => [n - 1, n + 1].filter((m) => m >= 0 && m < 10),
  key: String,
  bound: () => ({ seconds: 0, hbmBytes: 0 }),
  evaluate: (n) => ({ seconds: 10 - n, hbmBytes: n }),
  hbmLimit: 6,
  budget: 100,
  ...change,
});

describe("search", () => {
  it("searchPlans finds the fastest plan that fits, and ranks it before the plans that do not fit", async () => {
    const ranked = await searchPlans(options());
    strictEqual(ranked[0]?.plan, 6);
    strictEqual(
      ranked.findIndex(({ fits }) => !fits),
      ranked.filter(({ fits }) => fits).length,
    ); // prettier-ignore
  });

  it("searchPlans tries each plan once, and at most `budget` plans", async () => {
    const tried: number[] = [];
    await searchPlans(options({ budget: 4, evaluate: (n) => (tried.push(n), { seconds: 10 - n, hbmBytes: n }) })); // prettier-ignore
    deepStrictEqual(tried, [0, 1, 2, 3]);
  });

  it("searchPlans skips plans that their bounds exclude, and plans that do not compile", async () => {
    const tried: number[] = [];
    await searchPlans(
      options({
        bound: (n) => ({ seconds: 0, hbmBytes: n === 2 ? 99 : 0 }),
        evaluate: (n) => (tried.push(n), n === 1 ? undefined : { seconds: 1, hbmBytes: 1 }),
        starts: [0, 1, 2, 3],
      }),
    ); // prettier-ignore
    ok(!tried.includes(2) && tried.includes(1));
  });

  it("searchPlans ends if onProgress returns false", async () => {
    const ranked = await searchPlans(options({ onProgress: (tried) => tried < 2 }));
    strictEqual(ranked.length, 2);
  });

  it("the Pareto front contains exactly the plans to which no other plan is better in time or memory and at least equal in both", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ seconds: fc.nat(9), hbmBytes: fc.nat(9) }), { minLength: 1, maxLength: 12 }),
        async (points) => {
          const ranked = await searchPlans<number>({
            ...options(),
            starts: points.map((_, i) => i),
            neighbours: () => [],
            evaluate: (i) => points[i] ?? { seconds: 0, hbmBytes: 0 },
          });
          for (const a of ranked)
            strictEqual(
              a.pareto,
              !ranked.some((b) => b.seconds <= a.seconds && b.hbmBytes <= a.hbmBytes && b.seconds + b.hbmBytes < a.seconds + a.hbmBytes),
            );
        },
      ),
    );
  });

  it("extrapolate extends a straight line", () => {
    strictEqual(extrapolate(10, 14, 2, 4, 28), 62);
  });
});
