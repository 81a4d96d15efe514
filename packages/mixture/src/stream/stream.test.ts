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
    // With these weights, the source with the largest remainder is not always the one whose row is due first.
    const tight: [number[], number] = [[0.05, 0.7, 0.15, 0.05, 11, 0.7], 5];
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 40 }), (weights, batch) => {
        const shares = sharesOf(names(weights.length), [{ from: 0, weights: weighted(weights) }]);
        const { denominator } = shares;
        const quotas = new Quotas(shares, batch);
        for (let step = 0; step < 60; step++) {
          const { counts, before } = quotas.at(step);
          equal(
            counts.reduce((sum, each) => sum + each, 0),
            batch,
          );
          for (const [i, count] of counts.entries()) {
            const ahead = BigInt((before[i] ?? 0) + count) * denominator - (shares.at(0)[i] ?? 0n) * BigInt(batch * (step + 1));
            ok(count >= 0 && -denominator < ahead && ahead < denominator, `source ${i} differs by ${Number(ahead) / Number(denominator)}`);
          }
        }
      }),
      { examples: [tight] },
    );
  });

  it("when weights change, the rows of a source stay within two of its share, and a source without a weight has no row", () => {
    const weight = fc.oneof(positive, fc.constant(0));
    const stage = fc.array(weight, { minLength: 6, maxLength: 6 }).filter((each) => each.some((one) => one > 0));
    fc.assert(
      fc.property(stage, stage, stage, fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 40 }), (a, b, c, ramp, batch) => {
        const stages = [
          { from: 0, weights: weighted(a) },
          { from: 7, ramp, weights: weighted(b) },
          { from: 40, weights: weighted(c) },
        ];
        const shares = sharesOf(names(6), stages);
        const quotas = new Quotas(shares, batch);
        const due = Array<bigint>(6).fill(0n);
        for (let step = 0; step < 60; step++) {
          const { counts, before } = quotas.at(step);
          for (const [i, share] of shares.at(step).entries()) {
            due[i] = (due[i] ?? 0n) + share * BigInt(batch);
            const ahead = BigInt((before[i] ?? 0) + (counts[i] ?? 0)) * shares.denominator - due[i];
            ok(ahead > -2n * shares.denominator && ahead < 2n * shares.denominator, `source ${i} at step ${step}`);
            if (a[i] === 0 && b[i] === 0 && c[i] === 0) equal(counts[i], 0);
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
