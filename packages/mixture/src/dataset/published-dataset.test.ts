import { deepStrictEqual, equal, rejects, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import { type PublishedDataset, readPublished, writePublished } from "./published-dataset.js";
import { describeShard, encodeShard, type ShardDocument } from "./shard.js";
import { verifyPublished } from "./verify.js";

const eos = 1;
const idOf = (name: string): Uint8Array => createHash("sha256").update(name).digest();
const documents: readonly ShardDocument[] = ["a", "b", "c"].map((name, i) => ({ id: idOf(name), ids: [7 + i, 300 + i, 65_535 - i, eos] }));

function write(root: string, path: string, bytes: Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
}

function publish(root: string): PublishedDataset {
  const { tokens, documents: table, entry } = encodeShard(documents, 2);
  write(root, "objects/k/part-0", tokens);
  write(root, "objects/k/part-1", table);
  write(root, "tokenizer.json", Buffer.from("{}"));
  const dataset: PublishedDataset = {
    version: 1,
    tokenizer: { file: "tokenizer.json", sha256: createHash("sha256").update("{}").digest("hex"), vocab_size: 65_536 },
    bytes_per_id: 2,
    sources: {
      web: {
        licence: "CC0-1.0",
        documents: entry.document_count,
        tokens: entry.token_count,
        bytes: 40,
        shards: [{ tokens: "objects/k/part-0", documents: "objects/k/part-1", ...entry }],
      },
    },
  };
  writePublished(root, dataset);
  return dataset;
}

const isDamaged = (place: RegExp) => (error: unknown) =>
  error instanceof LapidaryError && error.code === "LAP_DATA_DATASET" && place.test(error.location ?? "");

describe("a published dataset", () => {
  const directory = temporaryDirectory();

  it("a dataset that was written is read again, and its bytes equal their digests", async () => {
    const written = publish(directory());
    deepStrictEqual(readPublished(directory()), written);
    deepStrictEqual(await verifyPublished(directory()), written);
  });

  it("the bytes of a shard do not depend on the order of its documents, and wide ids keep their value", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 0xff_ff_ff_ff }), { maxLength: 9 }), fc.nat(), (ids, seed) => {
        const all = [...documents, { id: idOf(String(seed)), ids: [...ids, eos] }];
        const encoded = encodeShard(all, 4);
        deepStrictEqual(encodeShard(all.toReversed(), 4), encoded);
        const values = new Uint32Array(encoded.tokens.slice().buffer);
        const expected = all.toSorted((a, b) => Buffer.compare(a.id, b.id)).flatMap((each) => Array.from(each.ids));
        deepStrictEqual([...values], expected);
      }),
    );
  });

  it("the entry of files equals the entry of their encoding", async () => {
    const [shard] = publish(directory()).sources["web"]?.shards ?? [];
    deepStrictEqual(await describeShard(directory(), { tokens: "objects/k/part-0", documents: "objects/k/part-1" }, 2), shard);
  });

  it("a flipped, truncated or missing file is an error that names the file", async () => {
    for (const file of ["objects/k/part-0", "objects/k/part-1", "tokenizer.json"]) {
      const path = join(directory(), file);
      const place = file === "tokenizer.json" ? /tokenizer\.json$/ : /objects\/k\/part-\d$/;
      publish(directory());
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4;
      writeFileSync(path, bytes);
      await rejects(verifyPublished(directory()), isDamaged(place));
      publish(directory());
      truncateSync(path, bytes.length - 1);
      await rejects(verifyPublished(directory()), isDamaged(new RegExp(`${file}$`)));
      rmSync(path);
      await rejects(verifyPublished(directory()), isDamaged(new RegExp(`${file}$`)));
    }
  });

  it("a description that is missing, damaged, leaves its directory or does not add up is refused", () => {
    throws(
      () => readPublished(directory()),
      (error) => error instanceof LapidaryError && error.code === "LAP_DATA_MISSING",
    );
    const dataset = publish(directory());
    const text = readFileSync(join(directory(), "dataset.json"), "utf8");
    const changes: readonly [string, string][] = [
      [text, text.slice(0, -9)],
      ['"tokens": 12', '"tokens": 13'],
      ['"documents": 3', '"documents": 4'],
      ['"bytes_per_id": 2', '"bytes_per_id": 4'],
      ['"version": 1', '"version": 2'],
      ["objects/k/part-0", "../k/part-0"],
      ["objects/k/part-0", "/k/part-0"],
      ["objects/k/part-0", "objects/../../part-0"],
    ];
    for (const [from, to] of changes) {
      equal(text.includes(from), true);
      writeFileSync(join(directory(), "dataset.json"), text.replace(from, to));
      throws(() => readPublished(directory()), isDamaged(/dataset\.json$/));
    }
    throws(() => writePublished(directory(), { ...dataset, bytes_per_id: 4 }), isDamaged(/dataset\.json$/));
  });
});
