import { deepStrictEqual, ok } from "node:assert/strict";
import fc from "fast-check";
import { droppedExample, maxExamples, maxExamplesOfReason, smallestExamples } from "./examples.js";
import { binOf, mergeHistograms } from "./histogram.js";
import { LimitCounter, mergeLimits } from "./limit-counts.js";

const value = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 1, max: 1e9, noNaN: true }),
  fc.integer({ min: 0, max: 200 }),
  fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
);

describe("histograms", () => {
  it("a value is not below the name of its bin, and a name is in its own bin", () => {
    fc.assert(
      fc.property(value, (x) => {
        const name = binOf(x);
        ok(Number(name) <= x, `${x} in ${name}`);
        deepStrictEqual(binOf(Number(name)), name);
      }),
    );
  });

  it("values in order have bins in order", () => {
    fc.assert(fc.property(value, value, (a, b) => Number(binOf(Math.min(a, b))) <= Number(binOf(Math.max(a, b)))));
  });

  it("sums of histograms and of the counts of limits do not depend on how the values are divided", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(value, fc.boolean())), fc.nat(), (values, cut) => {
        const counted = (some: typeof values): ReturnType<LimitCounter["counts"]> => {
          const counter = new LimitCounter();
          for (const [x, isKept] of some) counter.add("limit", x, isKept);
          return counter.counts();
        };
        const at = values.length === 0 ? 0 : cut % values.length;
        const parts = mergeLimits([counted(values.slice(0, at)), counted(values.slice(at))]);
        deepStrictEqual(parts, counted(values));
        const { values: bins = {}, kept = 0 } = parts["limit"] ?? {};
        deepStrictEqual([Object.values(bins).reduce((sum, n) => sum + n, 0), kept], [values.length, values.filter(([, is]) => is).length]);
        deepStrictEqual(mergeHistograms([{ bins }])["bins"], bins);
      }),
    );
  });
});

describe("examples of dropped documents", () => {
  it("a frequent reason does not displace a rare one, and samples of parts merge to the sample of the whole", () => {
    const example = fc.tuple(fc.nat({ max: 1e6 }), fc.constantFrom("often", "often", "often", "rare", "other"));
    fc.assert(
      fc.property(fc.uniqueArray(example, { selector: ([id]) => id, maxLength: 80 }), fc.nat(), (documents, cut) => {
        const all = documents.map(([id, reason]) => droppedExample(String(id).padStart(7, "0"), reason, "text"));
        const whole = smallestExamples(all);
        const at = all.length === 0 ? 0 : cut % all.length;
        deepStrictEqual(smallestExamples([...smallestExamples(all.slice(0, at)), ...smallestExamples(all.slice(at))]), whole);
        for (const reason of ["often", "rare", "other"]) {
          const of = (some: readonly { readonly reason: string }[]): number => some.filter((each) => each.reason === reason).length;
          ok(of(whole) >= Math.min(maxExamplesOfReason, of(all)));
        }
        ok(whole.length <= maxExamples + 3 * maxExamplesOfReason);
      }),
    );
  });
});
