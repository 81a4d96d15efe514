import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { connectedComponents, type Pair } from "./components.js";

/** By union of sets, one pair after another. */
function byDefinition(pairs: readonly Pair[]): number[][] {
  let sets: Set<number>[] = [];
  for (const [a, b] of pairs) {
    if (a === b) continue;
    const [touched, others] = [sets.filter((set) => set.has(a) || set.has(b)), sets.filter((set) => !set.has(a) && !set.has(b))];
    sets = [...others, new Set([a, b, ...touched.flatMap((set) => [...set])])];
  }
  return sets.map((set) => [...set].sort((a, b) => a - b)).sort(([a = 0], [b = 0]) => a - b);
}

describe("connected components", () => {
  it("the components of random pairs are the unions of their sets, in every order of the pairs", () => {
    const pairs = fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { maxLength: 60 });
    fc.assert(
      fc.property(pairs, (some) => {
        deepStrictEqual(connectedComponents(some), byDefinition(some));
        deepStrictEqual(connectedComponents(some.toReversed().map(([a, b]): Pair => [b, a])), byDefinition(some));
      }),
    );
  });

  it("a chain of 2,000 documents is one component, whatever the order of its numbers", () => {
    const numbers = Array.from({ length: 2000 }, (_, i) => (i * 1237) % 2003);
    const chain = numbers.slice(1).map((number, i): Pair => [numbers[i] ?? 0, number]);
    deepStrictEqual(connectedComponents(chain), [numbers.toSorted((a, b) => a - b)]);
  });
});
