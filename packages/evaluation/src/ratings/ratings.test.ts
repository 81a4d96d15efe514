import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { seededRandom } from "@lapidary/std";
import fc from "fast-check";
import { bradleyTerry, elo, type Game, meanPassAtK, passAtK } from "../index.js";
import { evaluationGolden, near, tolerance } from "../testing/golden.js";

const golden = evaluationGolden();
const goldenGames: readonly Game[] = golden.ratings.games.map(([a, b, score]) => ({ a, b, score }));
const names = ["a", "b", "c", "d"] as const;
const game = fc
  .record({ a: fc.constantFrom(...names), b: fc.constantFrom(...names), score: fc.constantFrom(0, 0.5, 1) })
  .filter(({ a, b }) => a !== b);
/** Games with a tie between every two neighbours, so that ratings are finite. */
const games = fc
  .array(game, { maxLength: 60 })
  .map((some): readonly Game[] => [...names.slice(1).map((b, i) => ({ a: names[i] ?? "a", b, score: 0.5 })), ...some]);

const rating = (ratings: ReadonlyMap<string, number>, model: string): number => ratings.get(model) ?? Number.NaN;

describe("Bradley–Terry ratings", () => {
  it("equal the golden of five models", () => {
    const ratings = bradleyTerry(goldenGames);
    strictEqual(ratings.size, golden.ratings.players.length);
    for (const [model, expected] of Object.entries(golden.ratings.bradley_terry))
      near(rating(ratings, model), expected, tolerance.ratings, model);
  });

  it("make the expected score of every model its score, which is the condition of the maximum, and have mean 1000", () => {
    fc.assert(
      fc.property(games, (all) => {
        const ratings = bradleyTerry(all);
        const mean = [...ratings.values()].reduce((sum, each) => sum + each, 0) / ratings.size;
        near(mean, 1000, 1e-9, "mean");
        for (const model of ratings.keys()) {
          let surplus = 0;
          for (const { a, b, score } of all) {
            if (a !== model && b !== model) continue;
            const expected = 1 / (1 + 10 ** ((rating(ratings, b) - rating(ratings, a)) / 400));
            surplus += a === model ? score - expected : expected - score;
          }
          near(surplus, 0, 1e-9, `surplus of ${model}`);
        }
      }),
    );
  });

  it("do not depend on the order of the games or on which model is named first", () => {
    fc.assert(
      fc.property(games, fc.integer(), (all, seed) => {
        const random = seededRandom(seed);
        const shuffled = all
          .map((each) => ({ key: random.next(), each }))
          .sort((x, y) => x.key - y.key)
          .map(({ each: { a, b, score } }) => (random.next() < 0.5 ? { a, b, score } : { a: b, b: a, score: 1 - score }));
        const [one, two] = [bradleyTerry(all), bradleyTerry(shuffled)];
        for (const [model, value] of one) near(rating(two, model), value, 1e-7, model);
      }),
    );
  });

  it("of two models are 400 points apart for odds of ten to one", () => {
    const ten = Array.from({ length: 10 }, (): Game => ({ a: "a", b: "b", score: 1 }));
    const ratings = bradleyTerry([...ten, { a: "a", b: "b", score: 0 }]);
    near(rating(ratings, "a") - rating(ratings, "b"), 400, 1e-9);
  });

  it("are refused if a model never lost to some others, unless virtual ties join them", () => {
    const unbeaten: readonly Game[] = [
      { a: "a", b: "b", score: 1 },
      { a: "b", b: "c", score: 0.5 },
    ];
    throws(() => bradleyTerry(unbeaten), { code: "LAP_RATINGS_UNBOUNDED", message: /: a never lost to or tied with b, c$/ });
    const joined = bradleyTerry(unbeaten, { virtualTies: 1 });
    ok(rating(joined, "a") > rating(joined, "b") && [...joined.values()].every(Number.isFinite));
    throws(
      () =>
        bradleyTerry([
          { a: "a", b: "b", score: 0.5 },
          { a: "c", b: "d", score: 0.5 },
        ]),
      { code: "LAP_RATINGS_UNBOUNDED" },
    );
    throws(() => bradleyTerry([]), { code: "LAP_EVALUATION_EMPTY" });
    throws(() => bradleyTerry(unbeaten, { virtualTies: -1 }), { code: "LAP_EVALUATION_SETTING" });
    throws(() => bradleyTerry([{ a: "a", b: "a", score: 1 }]), /a game has two models/);
  });

  it("converge where one model wins nearly always", () => {
    const many = Array.from({ length: 100_000 }, (): Game => ({ a: "a", b: "b", score: 1 }));
    const ratings = bradleyTerry([...many, { a: "a", b: "b", score: 0 }, { a: "b", b: "c", score: 0.5 }]);
    near(rating(ratings, "a") - rating(ratings, "b"), 2000, 1e-6);
    near(rating(ratings, "b"), rating(ratings, "c"), 1e-6);
  });
});

describe("Elo ratings", () => {
  it("equal the golden of five models", () => {
    const ratings = elo(goldenGames, { k: golden.ratings.elo_k, start: golden.ratings.start });
    for (const [model, expected] of Object.entries(golden.ratings.elo)) near(rating(ratings, model), expected, tolerance.elo, model);
  });

  it("keep their sum, and a game between equals moves half of k", () => {
    fc.assert(
      fc.property(games, (all) => {
        const ratings = elo(all);
        near(
          [...ratings.values()].reduce((sum, each) => sum + each, 0),
          1000 * ratings.size,
          1e-8,
        );
      }),
    );
    deepStrictEqual(
      [...elo([{ a: "x", b: "y", score: 1 }])],
      [
        ["x", 1016],
        ["y", 984],
      ],
    );
    throws(() => elo([], { k: 0 }), { code: "LAP_EVALUATION_SETTING" });
  });
});

describe("pass@k", () => {
  for (const { n, c, k, expected } of golden.pass_at_k)
    it(`of ${c} correct in ${n} samples with k = ${k} equals the golden`, () => near(passAtK({ n, c }, k), expected, tolerance.rates));

  it("is the share of the subsets of k samples with a correct one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), fc.nat(10), fc.nat(9), (n, correct, less) => {
        const [c, k] = [Math.min(n, correct), 1 + (less % n)];
        let [hits, all] = [0, 0];
        for (let subset = 0; subset < 2 ** n; subset++) {
          const bits = Array.from({ length: n }, (_, i) => (subset >> i) & 1);
          if (bits.reduce((sum, bit) => sum + bit, 0) !== k) continue;
          all++;
          if (bits.slice(0, c).includes(1)) hits++;
        }
        near(passAtK({ n, c }, k), hits / all, 1e-12);
      }),
    );
  });

  it("is c / n for k = 1, and its mean over problems is the mean of the estimates", () => {
    near(passAtK({ n: 7, c: 3 }, 1), 3 / 7, 1e-15);
    near(
      meanPassAtK(
        [
          { n: 4, c: 1 },
          { n: 10, c: 10 },
        ],
        1,
      ),
      (0.25 + 1) / 2,
      1e-15,
    );
  });

  it("is refused for more samples than a problem has", () => {
    for (const k of [0, 5, 1.5, Number.NaN]) throws(() => passAtK({ n: 4, c: 1 }, k), { code: "LAP_EVALUATION_SETTING" });
    throws(() => meanPassAtK([], 1), { code: "LAP_EVALUATION_EMPTY" });
    try {
      passAtK({ n: 4, c: 1 }, 5);
    } catch (error) {
      match(String(error), /k is 5, expected an integer from 1 to the number of samples, 4/);
    }
  });
});
