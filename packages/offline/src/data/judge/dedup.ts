import { bandKeys, connectedComponents, minHash, type Pair, plainWordScanner, repeatedWindows, shinglesOf } from "@lapidary/detectors";
import { z } from "zod";
import { fixtureFiles, fixtureRows } from "./fixtures.js";
import type { JudgeTask } from "./task.js";

const document = z.object({ id: z.string(), text: z.string() });
const pair = z.object({ a: z.string(), b: z.string() });
type Document = z.infer<typeof document>;

/** Consecutive words of a shingle, and bytes of a repeated window. */
const shingleWords = 5;
const windowBytes = 100;

/** Whether the signatures of planted pairs meet. */
export const pairs: JudgeTask = {
  name: "pairs",
  *answers(fixtures) {
    const keysOf = keysBy();
    const keys = new Map(documents(fixtures).map(({ id, text }) => [id, keysOf(text)]));
    for (const { a, b } of fixtureRows(fixtures, "dedup/pairs.jsonl", pair)) {
      const others = new Set(keys.get(b));
      yield { a, b, meets: (keys.get(a) ?? []).some((key) => others.has(key)) };
    }
  },
};

/** Clusters of near-duplicates. */
export const clusters: JudgeTask = {
  name: "clusters",
  *answers(fixtures) {
    const all = documents(fixtures);
    const keysOf = keysBy();
    const first = new Map<number, number>();
    const meetings: Pair[] = [];
    for (const [number, { text }] of all.entries())
      for (const key of keysOf(text)) {
        const earlier = first.get(key);
        if (earlier === undefined) first.set(key, number);
        else meetings.push([earlier, number]);
      }
    for (const members of connectedComponents(meetings)) yield { ids: members.map((number) => all[number]?.id) };
  },
};

/** The bytes that lie in windows of 100 bytes that occur twice. */
export const substrings: JudgeTask = {
  name: "substrings",
  *answers(fixtures) {
    const all = fixtureRows(fixtures, "dedup/substrings.jsonl", document);
    const spans = repeatedWindows(
      all.map(({ text }) => Buffer.from(text)),
      windowBytes,
    );
    for (const [number, { id }] of all.entries()) yield { id, spans: spans[number] };
  },
};

const documents = (fixtures: string): Document[] =>
  fixtureFiles(fixtures, "dedup", /^shard-\d+\.jsonl$/).flatMap((file) => fixtureRows(fixtures, file, document));

/** The keys of a text, with one scanner for all texts. */
function keysBy(): (text: string) => number[] {
  const scanner = plainWordScanner();
  return (text) => {
    const { hashes, count } = scanner.read(text);
    const signature = minHash(shinglesOf(hashes, count, shingleWords));
    return signature === undefined ? [] : bandKeys(signature);
  };
}
