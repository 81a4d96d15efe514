import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { Quotas } from "./quotas.js";
import { sharesOf, type Stage } from "./stages.js";
import { MixtureStream, type StreamRow } from "./stream.js";

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `s${i}`);
const weighted = (weights: readonly number[]): Record<string, number> => Object.fromEntries(weights.map((weight, i) => [`s${i}`, weight]));
const positive = fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constantFrom(0.7, 0.15, 0.05, 0.0001, 1 / 3));

describe("the rows of sources in a step", () => {
  it("with constant weights, the rows of a source never differ from its share by one or more, and a batch is full", () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 40 }), (weights, batch) => {
        const shares = sharesOf(names(weights.length), [{ from: 0, weights: weighted(weights) }]);
        const quotas = new Quotas(shares, batch);
        const exact = shares.at(0).map((share) => Number(share) / Number(shares.denominator));
        for (let step = 0; step < 60; step++) {
          const { counts, before } = quotas.at(step);
          equal(
            counts.reduce((sum, each) => sum + each, 0),
            batch,
          );
          for (const [i, count] of counts.entries()) {
            const difference = (before[i] ?? 0) + count - (exact[i] ?? 0) * batch * (step + 1);
            ok(count >= 0 && Math.abs(difference) < 1 + 1e-9, `source ${i} differs by ${difference}`);
          }
        }
      }),
    );
  });

  it("the quota of a step does not depend on the steps that were read before", () => {
    const stages: readonly Stage[] = [
      { from: 0, weights: { s0: 0.8, s1: 0.2 } },
      { from: 300, ramp: 250, weights: { s0: 0.3, s1: 0.3, s2: 0.4 } },
    ];
    const fresh = (): Quotas => new Quotas(sharesOf(names(3), stages), 24);
    const inOrder = fresh();
    const all = Array.from({ length: 900 }, (_, step) => inOrder.at(step));
    const anyOrder = fresh();
    for (const step of [899, 5, 300, 299, 301, 0, 550, 256, 255, 512, 777]) {
      deepStrictEqual(anyOrder.at(step), all[step]);
      deepStrictEqual(fresh().at(step), all[step]);
    }
  });

  it("weights change linearly in a ramp, from the first step of the stage to its end", () => {
    const { at, denominator } = sharesOf(
      ["a", "b"],
      [
        { from: 0, weights: { a: 1 } },
        { from: 10, ramp: 4, weights: { a: 1, b: 3 } },
      ],
    );
    const shareOfB = [9, 10, 11, 12, 13, 14, 99].map((step) => Number(at(step)[1]) / Number(denominator));
    deepStrictEqual(shareOfB, [0, 0, 0.1875, 0.375, 0.5625, 0.75, 0.75]);
  });

  it("stages that overlap, and weights of unknown sources, are refused", () => {
    const refused: readonly (readonly Stage[])[] = [
      [],
      [{ from: 1, weights: { a: 1 } }],
      [{ from: 0, ramp: 2, weights: { a: 1 } }],
      [
        { from: 0, weights: { a: 1 } },
        { from: 0, weights: { a: 1 } },
      ],
      [
        { from: 0, weights: { a: 1 } },
        { from: 5, ramp: 5, weights: { a: 1 } },
        { from: 9, weights: { a: 1 } },
      ],
      [{ from: 0, weights: { c: 1 } }],
      [{ from: 0, weights: { a: 0 } }],
      [{ from: 0, weights: { a: -1, b: 2 } }],
    ];
    for (const stages of refused)
      throws(
        () => sharesOf(["a", "b"], stages),
        (error) => error instanceof LapidaryError && error.code === "LAP_MIXTURE_STAGES",
      );
  });
});

describe("the stream of a mixture", () => {
  const settings = {
    sources: [
      { name: "web", sequences: 97 },
      { name: "code", sequences: 13 },
    ],
    stages: [{ from: 0, weights: { web: 3, code: 1 } }],
    batch: 12,
    seed: 5,
  };
  const rowsOf = (stream: MixtureStream, steps: number): StreamRow[] =>
    Array.from({ length: steps * 12 }, (_, i) => stream.row(Math.floor(i / 12), i % 12));

  it("a source is read completely before one of its sequences is read again, in another order in each epoch", () => {
    const rows = rowsOf(new MixtureStream(settings), 60).filter(({ source }) => source === 1);
    for (let epoch = 0; epoch < 13; epoch++) {
      const order = rows.filter((row) => row.epoch === epoch).map(({ index }) => index);
      deepStrictEqual(
        order.toSorted((a, b) => a - b),
        Array.from({ length: 13 }, (_, i) => i),
      );
    }
    const orders = new Set(
      Array.from({ length: 13 }, (_, epoch) =>
        rows
          .filter((row) => row.epoch === epoch)
          .map(({ index }) => index)
          .join(),
      ),
    );
    ok(orders.size > 10);
  });

  it("another seed gives another order, and the same seed the same rows", () => {
    deepStrictEqual(rowsOf(new MixtureStream(settings), 9), rowsOf(new MixtureStream(settings), 9));
    const [first, other] = [5, 6].map((seed) => JSON.stringify(rowsOf(new MixtureStream({ ...settings, seed }), 9)));
    ok(first !== other);
  });

  it("a source with a weight and without sequences is refused before the run", () => {
    const empty = [...settings.sources, { name: "maths", sequences: 0 }];
    ok(new MixtureStream({ ...settings, sources: empty }));
    throws(
      () =>
        new MixtureStream({
          ...settings,
          sources: empty,
          stages: [
            { from: 0, weights: { web: 1 } },
            { from: 9, weights: { maths: 1 } },
          ],
        }),
      (error) => error instanceof LapidaryError && error.code === "LAP_MIXTURE_EMPTY",
    );
  });

  it("the first batch of 6 trillion tokens needs no table of sequences", () => {
    const large = new MixtureStream({
      ...settings,
      batch: 4096,
      sources: [
        { name: "web", sequences: 700_000_000 },
        { name: "code", sequences: 32_000_000 },
      ],
    });
    const { index, epoch } = large.row(0, 4095);
    ok(index >= 0 && epoch === 0);
  });
});
