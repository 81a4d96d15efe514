import { deepStrictEqual, notDeepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { filesOfTrained, trainTokenizer } from "@lapidary/tokenizer";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import { prepareRows } from "../dataset/prepare.js";
import { openDataset } from "../dataset/open-dataset.js";
import type { TrainingBatch } from "../examples/training-batch.js";
import { RowDataset } from "./row-dataset.js";
import type { RowsRequest } from "./rows-request.js";

const workspace = new Workspace();
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const dialogue = (n: number): object => ({ prompt: `What is ${n} and ${n}?`, completion: `It is ${2 * n}.` });
const tokenizer = trainTokenizer(["What is 3 and 4? It is 7. user model What is What is It is It is"], { vocabSize: 300 });
const folder = workspace.folder({
  "demos.jsonl": lines([...Array.from({ length: 20 }, (_, n) => dialogue(n)), { prompt: "no answer" }, dialogue(3)]),
  "tagged.jsonl": lines([
    { prompt: "How are you?", completion: "Well.", subset: "mood" },
    { prompt: "Who are you?", completion: "A model.", subset: "identity" },
  ]),
  ...Object.fromEntries([...filesOfTrained(tokenizer)].map(([name, content]) => [name, Buffer.from(content).toString("utf8")])),
});
const cacheDir = workspace.folder();
const request = (change: Partial<RowsRequest> = {}): RowsRequest => ({
  train: [{ path: join(folder, "demos.jsonl") }],
  heldOutFraction: 0.1,
  filters: ["schema", "duplicates"],
  pack: true,
  seq: 96,
  tokenizer: folder,
  ...change,
});
const prepare = (change: Partial<RowsRequest> = {}): Promise<RowDataset> => prepareRows(request(change), { cacheDir });

describe("a dataset of rows", () => {
  after(() => workspace.remove());

  it("rows of separate requests equal rows of one request, for both splits, packed or not", async () => {
    for (const pack of [true, false]) {
      const dataset = await prepare({ pack });
      const opened = openDataset(dataset.directory);
      ok(opened instanceof RowDataset);
      for (const split of ["train", "heldout"] as const)
        for (const step of split === "train" ? [0, 1, 7] : [0]) {
          const asked = { split, seed: 5, step, batch: 4, seq: 96 };
          const whole = dataset.batch(asked);
          for (let row = 0; row < 4; row++) {
            const one = opened.batch({ ...asked, rows: [row, row + 1] });
            for (const key of ["tokens", "targets", "mask", "segments"] as const)
              deepStrictEqual(one[key], whole[key].slice(row * 96, (row + 1) * 96));
          }
        }
      opened.close();
      dataset.close();
    }
  });

  it("a packed row has several documents, each with its own segment and <bos>, and only answers are trained", async () => {
    const dataset = await prepare();
    const { tokens, targets, mask, segments } = dataset.batch({ split: "train", seed: 1, step: 0, batch: 2, seq: 96 });
    ok(segments.includes(2));
    const starts = [...tokens].flatMap((id, at) => (id === dataset.manifest.control.bos ? [segments[at]] : []));
    deepStrictEqual(
      starts,
      [...segments].filter((segment, at) => segment > 0 && (at % 96 === 0 || segment !== segments[at - 1])),
    );
    const trained = targets.filter((_, at) => mask[at] === 1);
    ok(dataset.tokenizer.decode(trained).startsWith("It is"));
    dataset.close();
  });

  it("a trained tokenizer gets turn tokens, and the other ids keep their meaning", async () => {
    const dataset = await prepare();
    const { turns, control } = dataset.tokenizer;
    ok(turns !== undefined);
    deepStrictEqual(control.stops, [turns.endOfTurn, control.eos]);
    strictEqual(dataset.manifest.vocabSize, tokenizer.vocabSize);
    const text = "What is 3 and 4? It is <end_of_turn> 7.";
    strictEqual(dataset.tokenizer.decode(dataset.tokenizer.encode(text)), text);
    ok(!dataset.tokenizer.encode(text).includes(turns.endOfTurn));
    dataset.close();
  });

  it("refused rows and removed rows are counted, and the evaluation set is never trained", async () => {
    const dataset = await prepare();
    const { refused, filters, splits } = dataset.manifest;
    deepStrictEqual(refused.byCode, { LAP_EXAMPLE_FILTERED: 1, LAP_EXAMPLE_FORMAT: 1 });
    deepStrictEqual(
      filters.map(({ filter, checked, removed }) => [filter, checked, removed]),
      [
        ["schema", 21, 0],
        ["duplicates", 21, 1],
      ],
    );
    deepStrictEqual([splits.train.documents, splits.heldout.documents], [18, 2]);
    const read = (split: "train" | "heldout", step: number): TrainingBatch => dataset.batch({ split, seed: 1, step, batch: 1, seq: 96 });
    strictEqual(dataset.heldoutBatches(1), 1);
    const held = dataset.tokenizer.decode(read("heldout", 0).tokens);
    for (let step = 0; step < 20; step++) ok(!dataset.tokenizer.decode(read("train", step).tokens).includes(held.slice(0, 25)));
    dataset.close();
  });

  it("a subset has a share of its own, and other entries of the file do not repeat its rows", async () => {
    const path = join(folder, "tagged.jsonl");
    const dataset = await prepare({
      train: [{ path: join(folder, "demos.jsonl") }, { path, subset: "mood", share: 0.2 }, { path }],
      evaluation: [{ path: join(folder, "demos.jsonl") }],
      filters: [],
    });
    deepStrictEqual(
      dataset.manifest.sources.map(({ documents, share }) => [documents, share]),
      [
        [21, undefined],
        [1, 0.2],
        [1, undefined],
      ],
    );
    dataset.close();
    await rejects(prepare({ train: [{ path, subset: "mod" }] }), { code: "LAP_EXAMPLE_MIXTURE" });
  });

  it("a dataset is prepared once, and again if a file of it is damaged or a file of examples changes", async () => {
    const first = await prepare();
    const { directory, manifest } = first;
    first.close();
    rmSync(join(directory, "train-mask.bin"));
    const again = await prepare();
    deepStrictEqual([again.directory, again.manifest], [directory, manifest]);
    again.close();
    writeFileSync(join(folder, "demos.jsonl"), lines(Array.from({ length: 9 }, (_, n) => dialogue(n))));
    const changed = await prepare();
    notDeepStrictEqual(changed.directory, directory);
    changed.close();
    ok(readdirSync(cacheDir).every((name) => !name.startsWith(".")));
  });

  it("a missing file, and a file without a usable row, are errors that name the file", async () => {
    await rejects(prepare({ train: [{ path: join(folder, "none.jsonl") }] }), hasCode("LAP_DATA_MISSING", "none.jsonl"));
    writeFileSync(join(folder, "bad.jsonl"), "{}\n");
    await rejects(prepare({ train: [{ path: join(folder, "bad.jsonl") }] }), hasCode("LAP_EXAMPLE_NONE", "bad.jsonl"));
  });
});
