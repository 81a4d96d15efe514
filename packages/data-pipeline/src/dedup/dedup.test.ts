import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { mergeAccounts } from "@lapidary/data-store";
import { bandKeys, connectedComponents, minHash, type Pair, plainWordScanner, repeatedWindows, shinglesOf } from "@lapidary/detectors";
import { seededRandom } from "@lapidary/std";
import { prose, temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import { runSmall, type SmallCorpus, type SmallDocument, type SmallResult } from "../testing/small-pipeline.js";
import { cutSpans, replacements } from "./spans.js";

/** Texts of families of near-duplicates, copies, and passages that several texts have. */
function documentsOf(seed: number, count: number): SmallDocument[] {
  const random = seededRandom(seed);
  const passages = Array.from({ length: 3 }, (_, i) => `${prose(900 + i, 3)} – é, 日本 `);
  return Array.from({ length: count }, (_, i): SmallDocument => {
    const family = random.integer(count);
    const base = prose(seed * 1000 + family, 25);
    const at = random.integer(base.length);
    const changed = random.integer(3) === 0 ? base : `${base.slice(0, at)} change ${i} ${base.slice(at)}`;
    return { id: `d${i}`, text: random.integer(4) === 0 ? changed + (passages[random.integer(3)] ?? "") : changed };
  });
}

/** The documents in files of a source, in another order for each seed. */
function shuffled(documents: readonly SmallDocument[], seed: number, files: number): SmallCorpus {
  const random = seededRandom(seed);
  const order = documents.map((document) => ({ document, key: random.next() })).sort((a, b) => a.key - b.key);
  const corpus: Record<string, SmallDocument[]> = {};
  for (const [i, { document }] of order.entries()) (corpus[`web/f${i % files}.jsonl`] ??= []).push(document);
  return corpus;
}

const names = ({ kept }: SmallResult): string[] => kept.map(({ name }) => name).sort();
const counts = ({ accounts }: SmallResult): ReturnType<typeof mergeAccounts> =>
  mergeAccounts(
    accounts.map(({ account }) => account),
    "test",
  );
const texts = ({ kept }: SmallResult): Map<string, string> => new Map(kept.map(({ name, text }) => [name, text]));

function inMemoryClusters(documents: readonly SmallDocument[]): string[][] {
  const first = new Map<number, number>();
  const meetings: Pair[] = [];
  for (const [number, { text }] of documents.entries()) {
    const words = plainWordScanner().read(text);
    const signature = minHash(shinglesOf(words.hashes, words.count, 5));
    for (const key of signature === undefined ? [] : bandKeys(signature)) {
      const earlier = first.get(key);
      if (earlier === undefined) first.set(key, number);
      else meetings.push([earlier, number]);
    }
  }
  return connectedComponents(meetings).map((members) => members.map((member) => documents[member]?.id ?? ""));
}

describe("the stage dedup", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const run = (name: string, corpus: SmallCorpus, stages: string, shardBytes = 1e6): Promise<SmallResult> =>
    runSmall(join(directory(), name), corpus, stages, shardBytes);
  const documents = documentsOf(1, 40);
  const near = "  - dedup: { near: {}, keep_by: [length, id] }";

  it("near-duplicates are the clusters that signatures in memory give, and the longest document of each is kept", async () => {
    const result = await run("a", shuffled(documents, 1, 4), near);
    const lengthOf = new Map(documents.map(({ id, text }) => [id, Buffer.byteLength(text)]));
    const clusters = inMemoryClusters(documents);
    ok(clusters.length > 2);
    const kept = new Set(names(result));
    for (const members of clusters) {
      const longest = Math.max(...members.map((id) => lengthOf.get(id) ?? 0));
      deepStrictEqual(
        members.filter((id) => kept.has(id)).map((id) => lengthOf.get(id)),
        [longest],
      );
    }
    strictEqual(kept.size, documents.length - clusters.reduce((sum, members) => sum + members.length - 1, 0));
    strictEqual(counts(result).dropped["near-duplicate of web"], documents.length - kept.size);
  });

  it("1, 3 and 8 shards in any order and in 1 or 4 partitions keep the same documents with the same texts", async () => {
    // Ids depend on file and line, so the texts differ in length: `length` decides alone.
    const different = documents.map(({ id, text }, i) => ({ id, text: `${text}${"!".repeat(i + 1)}` }));
    const stages = "  - dedup: { exact: {}, near: {}, substring: { bytes: 60 }, keep_by: [length, id] }";
    const all = new Map(different.map(({ id, text }) => [id, text]));
    const bytes = different.reduce((sum, document) => sum + Buffer.byteLength(JSON.stringify(document)) + 1, 0);
    const partitioned = stages.replace("keep_by", `partition: ${Math.ceil(bytes / 4)}, keep_by`);
    const one = await run("one", shuffled(different, 1, 1), stages, 1e9);
    strictEqual(one.shards, 1);
    for (const [seed, files, partitions] of [
      [2, 3, 4],
      [3, 8, 1],
    ] as const) {
      // A shard is full after one file.
      const other = await run(`many-${files}`, shuffled(different, seed, files), partitions === 1 ? stages : partitioned, 60_000 / files);
      strictEqual(other.shards, files);
      strictEqual(other.plan.tasks.filter(({ stageIndex, step }) => stageIndex === 2 && step === 1).length, partitions);
      deepStrictEqual(texts(other), texts(one));
    }
    ok(
      [...texts(one)].some(([id, text]) => text !== all.get(id)),
      "a passage was cut",
    );
  });

  it("copies are equal texts; the scope decides among which documents, and the account names the source of the kept one", async () => {
    const text = prose(5, 10);
    const corpus: SmallCorpus = {
      "books/2024/x.jsonl": [{ id: "b1", text }],
      "web/2023/x.jsonl": [{ id: "w1", text }],
      "web/2024/x.jsonl": [
        { id: "w2", text },
        { id: "w3", text },
        { id: "w4", text: `${text} ` },
      ],
    };
    const withScope = (scope: string): Promise<SmallResult> =>
      run(scope, corpus, `  - dedup: { exact: { scope: ${scope} }, keep_by: [id] }`);
    const dropped = ({ accounts }: SmallResult): Record<string, number> =>
      Object.fromEntries(
        ["books", "web"].map((source) => [
          source,
          accounts.filter((each) => each.source === source).reduce((sum, { account }) => sum + account.in - account.out, 0),
        ]),
      );
    deepStrictEqual(dropped(await withScope("dump")), { books: 0, web: 1 });
    deepStrictEqual(dropped(await withScope("source")), { books: 0, web: 2 });
    const all = await withScope("all");
    strictEqual(all.kept.length, 2);
    const [kept] = all.kept.filter((document) => document.text === text);
    strictEqual(counts(all).dropped[`copy of ${kept?.source}`], 3);
  });

  it("keep_by takes a measure first; a missing column and a name after id are refused", async () => {
    const text = prose(5, 10);
    const corpus: SmallCorpus = { "web/x.jsonl": [1, 2, 3, 4].map((i) => ({ id: `d${i}`, text: `${text} ${"(a) b! ".repeat(i % 3)}` })) };
    const result = await run("measure", corpus, "  - measure: [gopher]\n  - dedup: { near: {}, keep_by: [characters, id] }");
    deepStrictEqual(names(result), ["d2"]);
    for (const bad of ["quality.prose", "language"])
      await rejects(run("bad", corpus, `  - dedup: { near: {}, keep_by: ["${bad}"] }`), { code: "LAP_DATA_RULE" });
    await rejects(run("bad", corpus, "  - dedup: { near: {}, keep_by: [id, length] }"), { code: "LAP_DATA_RULE" });
    await rejects(run("bad", corpus, "  - dedup: { keep_by: [id] }"), { code: "LAP_DATA_PIPELINE" });
  });

  it("bytes in windows that occur twice are cut from all documents but the first by rank", async () => {
    const random = seededRandom(7);
    const unique = (length: number): string => Array.from({ length }, () => String.fromCharCode(97 + random.integer(26))).join("");
    const passage = `${unique(30)} é日本 ${unique(40)}`;
    const [long, short] = [`${unique(300)}${passage}${unique(300)}`, `${unique(100)}${passage}${unique(100)}`];
    const corpus: SmallCorpus = {
      "web/a.jsonl": [{ id: "short", text: short }],
      "web/b.jsonl": [
        { id: "long", text: long },
        { id: "copy", text: passage },
      ],
    };
    const result = await run("cut", corpus, "  - dedup: { substring: { bytes: 50 }, keep_by: [length] }");
    const left = texts(result);
    strictEqual(left.get("long"), long);
    strictEqual(left.get("short"), short.replace(passage, ""));
    strictEqual(left.has("copy"), false);
    const account = counts(result);
    deepStrictEqual([account.cut, account.dropped], [{ "repeated bytes": Buffer.byteLength(passage) }, { "repeated bytes": 1 }]);
    const keepsTwo = await run("two", corpus, "  - dedup: { substring: { bytes: 50, keep: 2 }, keep_by: [length] }");
    strictEqual(texts(keepsTwo).get("short"), short);
  });

  it("the windows that are cut or stay are those that occur twice by definition", async () => {
    const passages = documentsOf(3, 30);
    const size = 40;
    const spans = repeatedWindows(
      passages.map(({ text }) => Buffer.from(text)),
      size,
    );
    // With `keep: 0`, all windows are cut.
    const left = texts(await run("all", shuffled(passages, 1, 3), `  - dedup: { substring: { bytes: ${size}, keep: 0 } }`));
    for (const [i, { id, text }] of passages.entries()) {
      const rest = replacements(text, spans[i] ?? [])
        .toReversed()
        .reduce((cut, [from, to]) => cut.slice(0, from) + cut.slice(to), text);
      strictEqual(left.get(id) ?? "", rest, id);
    }
  });
});

describe("the spans of repeated windows", () => {
  it("bytes are cut if a window that is cut has them and no window that stays does", () => {
    const windows = fc.uniqueArray(fc.record({ start: fc.nat(30), stays: fc.boolean() }), {
      selector: ({ start }) => start,
      maxLength: 12,
    });
    fc.assert(
      fc.property(windows, fc.integer({ min: 1, max: 9 }), (some, size) => {
        const sorted = some.toSorted((a, b) => a.start - b.start);
        const has = (stays: boolean, byte: number): boolean =>
          sorted.some((window) => window.stays === stays && window.start <= byte && byte < window.start + size);
        const cut = cutSpans(sorted, size);
        for (let byte = 0; byte < 40; byte++)
          strictEqual(
            cut.some(([from, to]) => from <= byte && byte < to),
            has(false, byte) && !has(true, byte),
          );
      }),
    );
  });

  it("offsets of bytes become offsets of UTF-16, without characters that are in the span in part", () => {
    const text = "aé日😀b";
    deepStrictEqual(replacements(text, [[0, 11]]), [[0, 6]]);
    deepStrictEqual(replacements(text, [[2, 9]]), [[2, 3]]);
    deepStrictEqual(
      replacements(text, [
        [1, 6],
        [7, 11],
      ]),
      [
        [1, 3],
        [5, 6],
      ],
    );
    deepStrictEqual(replacements("abc", [[1, 2]]), [[1, 2]]);
  });
});
