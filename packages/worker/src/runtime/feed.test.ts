import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataset, prepareDataset, prepareRows } from "@lapidary/data";
import { parseSharding } from "@lapidary/ir";
import { makeMesh, makeWorkerGrid } from "@lapidary/topology";
import { arrayLayout, arrayOf, blockOf, epochOf, handleOf, ranksOf, takeBlock, type FeedMessage } from "@lapidary/protocol";
import { ensure } from "@lapidary/std";
import { BatchReader, rangesOf } from "./feed.js";

describe("a worker's batch", () => {
  let scratch = "";
  let directory = "";
  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), "lapidary-feed-"));
    const path = join(scratch, "text.txt");
    writeFileSync(path, Array.from({ length: 400 }, (_, i) => `Line ${i} says that ${i * 7} is more than ${i}.`).join("\n\n"));
    const dataset = await prepareDataset({
      corpus: { kind: "path", path, textField: "text" },
      tokenizer: { kind: "train", vocabSize: 300 },
      heldOutFraction: 0.1,
      cacheDir: join(scratch, "cache"),
    });
    ({ directory } = dataset);
    dataset.close();
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it("a worker reads its block of the whole batch, for any sharding of rows and tokens", () => {
    const mesh = makeMesh({ data: 4, seq: 2 });
    const [batch, seq] = [8, 16];
    const dataset = openDataset(directory);
    const whole = dataset.batch({ split: "train", seed: 1, step: 3, batch, seq });
    dataset.close();
    const reader = new BatchReader();
    for (const text of ["[data, -]", "[data, seq]", "[-, -]", "[data:(2)2, -]", "[-, data]", "[data:(2)2+data:(1)2, seq]"]) {
      const message: FeedMessage = {
        kind: "feed",
        epoch: epochOf(1),
        directory,
        split: "train",
        seed: 1,
        step: 3,
        batch,
        seq,
        into: (["tokens", "targets", "mask"] as const).map((array) => ({
          array,
          tensor: { id: handleOf(array), dtype: array === "mask" ? "f32" : "i32", dims: [batch, seq], sharding: parseSharding(mesh, text) },
        })),
      };
      // With two workers a minor part of the rows is several ranges of rows.
      for (const grid of [makeWorkerGrid(mesh, 4), makeWorkerGrid(mesh, 2)])
        for (const worker of ranksOf(grid.workers))
          for (const { port, block } of reader.read(message, { mesh, grid }, worker)) {
            const expected = takeBlock(
              arrayOf(port.array === "mask" ? "f32" : "i32", [batch, seq], ensure(whole[port.array], port.array)),
              blockOf(arrayLayout({ mesh, grid }, port.tensor), worker),
            );
            assert.deepEqual(
              [block.dims, [...block.data]],
              [expected.dims, [...expected.data]],
              `${text}, worker ${worker}, ${port.array}`,
            );
          }
    }
    reader.close();
  });

  it("a worker reads the segments of rows, and a corpus has none", async () => {
    const file = join(scratch, "demos.jsonl");
    writeFileSync(file, Array.from({ length: 12 }, (_, i) => JSON.stringify({ prompt: `a${i}`, completion: `b${i}` })).join("\n"));
    const rows = await prepareRows(
      { train: [{ path: file }], heldOutFraction: 0.2, filters: [], pack: true, seq: 64, tokenizer: join(directory, "tokenizer") },
      { cacheDir: join(scratch, "cache") },
    );
    const { segments } = rows.batch({ split: "train", seed: 1, step: 2, batch: 4, seq: 64 });
    rows.close();
    const mesh = makeMesh({ data: 2, seq: 2 });
    const grid = makeWorkerGrid(mesh, 4);
    const tensor = { id: handleOf("segments"), dtype: "i32" as const, dims: [4, 64], sharding: parseSharding(mesh, "[data, seq]") };
    const message = (from: string): FeedMessage => ({
      ...{ kind: "feed", epoch: epochOf(1), directory: from, split: "train", seed: 1, step: 2, batch: 4, seq: 64 },
      into: [{ array: "segments", tensor }],
    });
    const reader = new BatchReader();
    for (const worker of ranksOf(grid.workers))
      for (const { block } of reader.read(message(rows.directory), { mesh, grid }, worker)) {
        const expected = takeBlock(arrayOf("i32", [4, 64], segments), blockOf(arrayLayout({ mesh, grid }, tensor), worker));
        assert.deepEqual([...block.data], [...expected.data]);
      }
    const [first] = ranksOf(grid.workers);
    assert.throws(() => reader.read(message(directory), { mesh, grid }, ensure(first, "worker")), /segments/);
    reader.close();
  });

  it("rangesOf joins consecutive rows", () => {
    assert.deepEqual(rangesOf(Int32Array.of(0, 1, 2, 5, 6, 9)), [
      [0, 3],
      [5, 7],
      [9, 10],
    ]);
  });
});
