import { execFileSync } from "node:child_process";
import { deepStrictEqual, ok } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import { componentsOnDisk, pairBytes } from "./components.js";
import { readRecords } from "./record-file.js";
import { node, pairsOf, streamOf } from "./testing/records.js";

type Pair = readonly [number, number];

const pairStream = (pairs: readonly Pair[]): ReturnType<typeof streamOf> =>
  streamOf(
    pairs.map(([a, b]) => [...node(a), ...node(b)]),
    pairBytes,
  );

/** By union of sets, one pair after another. */
function byDefinition(pairs: readonly Pair[]): Pair[] {
  let sets: Set<number>[] = [];
  for (const [a, b] of pairs) {
    if (a === b) continue;
    const touched = sets.filter((set) => set.has(a) || set.has(b));
    sets = [...sets.filter((set) => !touched.includes(set)), new Set([a, b, ...touched.flatMap((set) => [...set])])];
  }
  return sets.flatMap((set) => [...set].map((each): Pair => [each, Math.min(...set)])).sort(([a], [b]) => a - b);
}

describe("connected components on disk", () => {
  const directory = temporaryDirectory();
  const components = (pairs: readonly Pair[], memoryBytes = 100): Pair[] =>
    pairsOf(
      readRecords(componentsOnDisk(pairStream(pairs), join(directory(), "result"), { directory: join(directory(), "work"), memoryBytes })),
    );

  it("the components of random pairs are the unions of their sets, in every order of the pairs", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(30), fc.nat(30)), { maxLength: 40 }), (pairs) => {
        deepStrictEqual(components(pairs), byDefinition(pairs));
        deepStrictEqual(components(pairs.toReversed().map(([a, b]): Pair => [b, a])), byDefinition(pairs));
      }),
      { numRuns: 25 },
    );
  });

  it("400,000 pairs need a heap of 16 MB and less than 250 MB in all, which a table of the nodes would exceed", function () {
    this.timeout(120_000);
    const main = fileURLToPath(new URL("testing/components-main.js", import.meta.url));
    const output = execFileSync(process.execPath, ["--max-old-space-size=16", main, "400000", directory()], { encoding: "utf8" });
    const { nodes, components, rss_mb } = JSON.parse(output) as { nodes: number; components: number; rss_mb: number };
    ok(nodes > 380_000 && components > 100_000 && rss_mb < 250, output);
  });

  it("a chain of 500 nodes and a star are one component each, whatever the order of their numbers", () => {
    const numbers = Array.from({ length: 500 }, (_, i) => (i * 137) % 503);
    const chain = numbers.slice(1).map((number, i): Pair => [numbers[i] ?? 0, number]);
    deepStrictEqual(
      components(chain, 2000),
      numbers.toSorted((a, b) => a - b).map((number): Pair => [number, 0]),
    );
    const star = Array.from({ length: 50 }, (_, i): Pair => [1000 + i, 2000]);
    deepStrictEqual(new Set(components(star, 2000).map(([, least]) => least)), new Set([1000]));
  });
});
