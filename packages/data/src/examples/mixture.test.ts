import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { type MixtureItem, type MixtureSource, mixtureOf, mixtureSources } from "./mixture.js";
import { TrainingOrder } from "./training-order.js";

const epochOf = (sources: readonly MixtureSource[], epoch: number, seed = 1): readonly MixtureItem[] => {
  const mixture = mixtureOf(sources);
  return Array.from({ length: mixture.size }, (_, slot) => mixture.item(seed, epoch, slot));
};
const key = ({ source, index }: MixtureItem): string => `${source}:${index}`;

describe("a mixture", () => {
  it("sources without shares give each example once an epoch, in another order each epoch", () => {
    const sources = [
      { name: "a", size: 7 },
      { name: "b", size: 5 },
    ];
    const all = [...Array.from({ length: 7 }, (_, i) => `0:${i}`), ...Array.from({ length: 5 }, (_, i) => `1:${i}`)];
    const [first, second] = [0, 1].map((epoch) => epochOf(sources, epoch).map(key));
    deepStrictEqual(first?.toSorted(), all.toSorted());
    deepStrictEqual(second?.toSorted(), all.toSorted());
    ok(first?.join() !== second?.join());
    ok(epochOf(sources, 0, 2).map(key).join() !== first?.join());
  });

  it("the order is part of the meaning of a seed: it does not change between versions", () => {
    const sources = [
      { name: "a", size: 5 },
      { name: "b", size: 3, share: 0.25 },
    ];
    deepStrictEqual(
      [0, 1].map((epoch) => epochOf(sources, epoch, 42).map(key).join(" ")),
      ["0:3 0:4 1:0 1:2 0:1 0:2 0:0", "0:0 1:1 0:2 0:3 1:1 0:1 0:4"],
    );
  });

  it("a share is the share of the examples of an epoch", () => {
    const sources = [
      { name: "demos", size: 980 },
      { name: "refuse", size: 100, share: 0.02 },
    ];
    deepStrictEqual(mixtureOf(sources).counts, [980, 20]);
    strictEqual(epochOf(sources, 3).filter(({ source }) => source === 1).length, 20);
    // A share of less than half an example is one example.
    const tiny = [
      { name: "demos", size: 5 },
      { name: "refuse", size: 3, share: 0.001 },
    ];
    deepStrictEqual(mixtureOf(tiny).counts, [5, 1]);
  });

  it("a source goes through all of its examples before it repeats one, over epochs", () => {
    const sources = [
      { name: "demos", size: 90 },
      { name: "few", size: 7, share: 0.1 },
    ];
    const drawn = [0, 1, 2, 3].flatMap((epoch) => epochOf(sources, epoch)).filter(({ source }) => source === 1);
    strictEqual(drawn.length, 40);
    const uses = Array.from({ length: 7 }, (_, index) => drawn.filter((item) => item.index === index).length);
    ok(Math.max(...uses) - Math.min(...uses) <= 1, uses.join());
  });

  it("if all sources have shares, an epoch has as many examples as the sources together", () => {
    const { counts } = mixtureOf([
      { name: "a", size: 10, share: 0.75 },
      { name: "b", size: 90, share: 0.25 },
    ]);
    deepStrictEqual(counts, [75, 25]);
  });

  it("invalid shares are refused", () => {
    const code = "LAP_EXAMPLE_MIXTURE";
    throws(() => mixtureOf([]), { code });
    throws(() => mixtureOf([{ name: "a", size: 0 }]), { code, message: "a has no examples" });
    throws(() => mixtureOf([{ name: "a", size: 3, share: 0.5 }]), { code, message: /their sum is 0\.5/ });
    throws(() => mixtureOf([{ name: "a", size: 3, share: Number.NaN }]), { code });
    throws(
      () =>
        mixtureOf([
          { name: "a", size: 3, share: 1 },
          { name: "b", size: 3 },
        ]),
      { code, message: /have no place/ },
    );
  });

  it("a subset with a share is a source of its own", () => {
    const items = ["x", "refusal", "x", "refusal", undefined].map((subset) => (subset === undefined ? {} : { subset }));
    deepStrictEqual(
      mixtureSources([{ name: "a", items, subsets: { refusal: 0.25 } }]).map(({ name, size, share }) => [name, size, share]),
      [
        ["a", 3, undefined],
        ["a#refusal", 2, 0.25],
      ],
    );
    throws(() => mixtureSources([{ name: "a", items, subsets: { refusals: 0.25 } }]), {
      code: "LAP_EXAMPLE_MIXTURE",
      remedy: /did you mean refusal/,
    });
  });
});

describe("the order of training", () => {
  const mixture = mixtureOf([
    { name: "a", size: 23 },
    { name: "b", size: 9, share: 0.2 },
  ]);
  const seq = 16;
  const lengthOf = ({ source, index }: MixtureItem): number => 1 + ((index * 7 + source * 3) % seq);

  it("each epoch is packed once, also while batches have rows of two epochs", () => {
    let calls = 0;
    const counting = (item: MixtureItem): number => {
      calls++;
      return lengthOf(item);
    };
    const order = new TrainingOrder({ mixture, seed: 5, packing: { seq, lengthOf: counting } });
    let last = 0;
    // Rows of two neighbouring epochs in turns, as workers of one batch read them.
    for (; order.epochOf(last, 1) < 3; last++) for (const step of [last, Math.max(0, last - 3)]) order.rows(step, 1);
    strictEqual(calls, 4 * mixture.size);
    order.rows(0, 1);
    strictEqual(calls, 5 * mixture.size);
  });

  for (const packing of [undefined, { seq, lengthOf }])
    describe(packing === undefined ? "without packing" : "with packing", () => {
      it("a resumed run gets the rows of the run that was not interrupted", () => {
        fc.assert(
          fc.property(fc.integer(), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 40 }), (seed, batch, step) => {
            const whole = new TrainingOrder({ mixture, seed, packing });
            for (let s = 0; s < step; s++) whole.rows(s, batch);
            const expected = whole.rows(step, batch);
            deepStrictEqual(new TrainingOrder({ mixture, seed, packing }).rows(step, batch), expected);
            whole.rows(step + 30, batch);
            deepStrictEqual(whole.rows(step, batch), expected);
          }),
          { numRuns: 50 },
        );
      });

      it("each epoch has every drawn example once, and rows hold at most their tokens", () => {
        const order = new TrainingOrder({ mixture, seed: 5, packing });
        const rows: (readonly MixtureItem[])[] = [];
        for (let step = 0; order.epochOf(step, 1) < 2; step++) rows.push(...order.rows(step, 1));
        const items = rows.flat();
        strictEqual(items.length, 2 * mixture.size);
        for (const epoch of [0, 1]) {
          const drawn = Array.from({ length: mixture.size }, (_, slot) => key(mixture.item(5, epoch, slot)));
          deepStrictEqual(
            items
              .slice(epoch * mixture.size, (epoch + 1) * mixture.size)
              .map(key)
              .toSorted(),
            drawn.toSorted(),
          );
        }
        if (packing !== undefined) ok(rows.every((row) => row.length > 0 && row.map(lengthOf).reduce((a, b) => a + b) <= seq));
      });
    });
});
