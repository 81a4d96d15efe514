import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import {
  isContradiction,
  type JudgedPrompt,
  judgement,
  judgementFromLogits,
  outcomeOf,
  type PromptVerdicts,
  shuffledOrder,
  sideBySide,
  sideBySideBySubset,
  type Verdict,
} from "../index.js";
import { evaluationGolden, near, tolerance } from "../testing/golden.js";

const verdict = fc.constantFrom<Verdict>("first", "second", "tie");
const inBothOrders = fc.record({ orders: fc.constant("both" as const), candidateFirst: verdict, baselineFirst: verdict });
const inOneOrder = fc.record({
  orders: fc.constant("shuffled" as const),
  order: fc.constantFrom("candidate-first" as const, "baseline-first" as const),
  verdict,
});
const length = fc.integer({ min: 0, max: 200 });
const judged = fc.record({ verdicts: fc.oneof(inBothOrders, inOneOrder), candidateLength: length, baselineLength: length });
const judgedPrompts = fc.array(judged, { minLength: 1, maxLength: 60 });

const row = (verdicts: PromptVerdicts, candidateLength = 1, baselineLength = 1): JudgedPrompt => ({
  verdicts,
  candidateLength,
  baselineLength,
});
const both = (candidateFirst: Verdict, baselineFirst: Verdict): PromptVerdicts => ({ orders: "both", candidateFirst, baselineFirst });

const otherVerdict = { first: "second", second: "first", tie: "tie" } as const;
const opposite = { win: "loss", loss: "win", tie: "tie" } as const;

/** The same judgements if candidate and baseline change names. */
const renamed = (verdicts: PromptVerdicts): PromptVerdicts =>
  verdicts.orders === "both"
    ? both(verdicts.baselineFirst, verdicts.candidateFirst)
    : { ...verdicts, order: verdicts.order === "candidate-first" ? "baseline-first" : "candidate-first" };

describe("side-by-side evaluation", () => {
  it("counts wins, ties, losses, contradictions and first positions as the golden does", () => {
    const { verdicts, expected } = evaluationGolden().side_by_side;
    const result = sideBySide(verdicts.map(([first, second]) => row(both(first, second))));
    deepStrictEqual(
      [result.wins, result.ties, result.losses, result.contradictions, result.n],
      [expected.wins, expected.ties, expected.losses, expected.contradictions, expected.n],
    );
    near(result.firstShare, expected.first_share, tolerance.rates);
    near(result.rate, expected.rate, tolerance.rates);
    near(result.contradictionShare ?? Number.NaN, expected.contradictions / expected.n, tolerance.rates);
  });

  it("makes a tie of a judge that prefers one position in both orders", () => {
    for (const position of ["first", "second"] as const) {
      strictEqual(outcomeOf(both(position, position)), "tie");
      ok(isContradiction(both(position, position)));
    }
    deepStrictEqual([outcomeOf(both("first", "tie")), outcomeOf(both("tie", "first"))], ["win", "loss"]);
    deepStrictEqual([outcomeOf(both("first", "second")), outcomeOf(both("second", "first"))], ["win", "loss"]);
    ok(!isContradiction(both("tie", "tie")) && !isContradiction(both("first", "tie")));
  });

  it("gives the opposite outcome if candidate and baseline change names, and keeps contradictions and the share of the first", () => {
    fc.assert(
      fc.property(judgedPrompts, (rows) => {
        for (const { verdicts } of rows) strictEqual(outcomeOf(renamed(verdicts)), opposite[outcomeOf(verdicts)]);
        const swapped = rows.map(({ verdicts, candidateLength, baselineLength }) =>
          row(renamed(verdicts), baselineLength, candidateLength),
        );
        const [a, b] = [sideBySide(rows), sideBySide(swapped)];
        deepStrictEqual(
          [a.wins, a.ties, a.losses, a.contradictions, a.firstShare],
          [b.losses, b.ties, b.wins, b.contradictions, b.firstShare],
        );
        deepStrictEqual(a.lengths, b.lengths);
      }),
    );
  });

  it("gives a share of ½ to the first position if every judgement is repeated with positions and preference exchanged", () => {
    fc.assert(
      fc.property(fc.array(inOneOrder, { minLength: 1 }), (all) => {
        const mirrored = all.map((each) => ({ ...each, verdict: otherVerdict[each.verdict] }));
        near(sideBySide([...all, ...mirrored].map((each) => row(each))).firstShare, 0.5, 0);
      }),
    );
  });

  it("reports no share of contradictions for shuffled orders", () => {
    const result = sideBySide([row({ orders: "shuffled", order: "baseline-first", verdict: "second" })]);
    deepStrictEqual([result.wins, result.contradictions, result.contradictionShare], [1, 0, undefined]);
  });

  it("reports the lengths of winners and losers, and how often the longer answer wins", () => {
    const { lengths } = sideBySide([
      row(both("first", "second"), 30, 10),
      row(both("second", "first"), 5, 8),
      row(both("first", "second"), 4, 6),
      row(both("first", "second"), 7, 7),
      row(both("first", "first"), 100, 1),
    ]);
    deepStrictEqual(lengths, { winnerMean: (30 + 8 + 4 + 7) / 4, loserMean: (10 + 5 + 6 + 7) / 4, longerShare: 2 / 3 });
    deepStrictEqual(sideBySide([row(both("tie", "tie"))]).lengths, { winnerMean: undefined, loserMean: undefined, longerShare: 0.5 });
  });

  it("evaluates each subset apart", () => {
    const rows = [
      { ...row(both("first", "second")), subset: "refusal" },
      { ...row(both("first", "first")), subset: "safety" },
    ];
    const { all, subsets } = sideBySideBySubset(rows);
    deepStrictEqual([all.n, all.contradictions], [2, 1]);
    deepStrictEqual([subsets.get("refusal")?.wins, subsets.get("safety")?.contradictions], [1, 1]);
  });
});

describe("the coin of a shuffled order", () => {
  it("depends on the seed and the prompt id only, and is fair over prompts and over seeds", () => {
    fc.assert(fc.property(fc.integer(), fc.string(), (seed, id) => strictEqual(shuffledOrder(seed, id), shuffledOrder(seed, id))));
    const n = 20_000;
    const share = (order: (i: number) => string): number =>
      Array.from({ length: n }, (_, i) => order(i)).filter((each) => each === "candidate-first").length / n;
    // Five standard deviations of a fair coin.
    const within = (5 * 0.5) / Math.sqrt(n);
    for (const seed of [0, 1, 2 ** 31])
      near(
        share((i) => shuffledOrder(seed, `prompt-${i}`)),
        0.5,
        within,
        `share with seed ${seed}`,
      );
    near(
      share((i) => shuffledOrder(i, "prompt")),
      0.5,
      within,
      "share over seeds",
    );
    const agree = Array.from({ length: n }, (_, i) => shuffledOrder(1, `${i}`) === shuffledOrder(2, `${i}`)).filter(Boolean).length / n;
    near(agree, 0.5, within, "agreement of two seeds");
  });
});

describe("the verdict of a model", () => {
  const logProb = fc.double({ min: -50, max: 0, noNaN: true });

  it("is the likeliest of A, B and C, with its probability among the three", () => {
    fc.assert(
      fc.property(logProb, logProb, logProb, (A, B, C) => {
        const { verdict, probabilities, mass } = judgement({ A, B, C });
        near(probabilities.first + probabilities.second + probabilities.tie, 1, 1e-14);
        near(mass, Math.exp(A) + Math.exp(B) + Math.exp(C), 1e-12 * mass);
        near(probabilities.first * mass, Math.exp(A), 1e-12);
        if (verdict !== "tie") strictEqual(probabilities[verdict], Math.max(...Object.values(probabilities)));
        const swapped = judgement({ A: B, B: A, C });
        strictEqual(swapped.verdict, otherVerdict[verdict]);
      }),
    );
  });

  it("is a tie if the largest probability is not unique", () => {
    for (const [A, B, C] of [
      [-1, -1, -5],
      [-1, -5, -1],
      [-2, -2, -2],
    ] as const)
      strictEqual(judgement({ A, B, C }).verdict, "tie");
  });

  it("is the same from logits, whatever constant is added to all of them", () => {
    const logits = fc.array(fc.double({ min: -30, max: 30, noNaN: true }), { minLength: 5, maxLength: 40 });
    fc.assert(
      fc.property(logits, fc.double({ min: -1000, max: 1000, noNaN: true }), (row, shift) => {
        const ids = { A: 1, B: 2, C: 4 };
        const [a, b] = [
          judgementFromLogits(row, ids),
          judgementFromLogits(
            row.map((x) => x + shift),
            ids,
          ),
        ];
        for (const each of ["first", "second", "tie"] as const) near(a.probabilities[each], b.probabilities[each], 1e-10);
        near(a.mass, b.mass, 1e-10);
        ok(a.mass <= 1 + 1e-12);
      }),
    );
  });

  it("is refused if a log-probability is unusable or an id is outside of the logits", () => {
    const minus = Number.NEGATIVE_INFINITY;
    strictEqual(judgement({ A: minus, B: -3, C: minus }).verdict, "second");
    const code = { code: "LAP_JUDGE_NAN" };
    throws(() => judgement({ A: minus, B: minus, C: minus }), code);
    throws(() => judgement({ A: Number.NaN, B: 0, C: 0 }), code);
    throws(() => judgementFromLogits([0, 0], { A: 0, B: 1, C: 2 }), code);
    throws(() => judgementFromLogits([0, Number.NaN, 0], { A: 0, B: 1, C: 2 }), code);
  });
});
