import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensure } from "@lapidary/std";
import fc from "fast-check";
import { documentId, publishSources, threeSources } from "../testing/published-sources.js";
import { buildMixture } from "./build-mixture.js";
import { MixtureDataset } from "./mixture-dataset.js";
import { findDocuments, placedDocuments, rowsOfBatch, rowsWith } from "./trace-documents.js";

describe("documents and steps", () => {
  let scratch = "";
  const texts = threeSources(60);
  const prepare = async (batch: number, seq: number, seed: number): Promise<MixtureDataset> => {
    const directory = mkdtempSync(join(scratch, "dataset-"));
    const stages = [
      { from: 0, weights: { web: 5, code: 2, maths: 1 } },
      { from: 10, ramp: 5, weights: { web: 1, code: 1, maths: 3 } },
    ];
    const pipeline = join(scratch, "data");
    const request = { pipeline, stages, seed, steps: 30, batch, seq, repeat: 1000, heldOutFraction: 0.2 };
    await buildMixture(request, "key", directory, () => undefined);
    return new MixtureDataset(directory);
  };

  before(() => {
    scratch = mkdtempSync(join(tmpdir(), "lapidary-trace-"));
    publishSources(join(scratch, "data"), texts, { perShard: 17 });
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it("the rows with a document are exactly the rows of all batches that name it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 3, max: 40 }), fc.nat(99), async (batch, seq, seed) => {
        const dataset = await prepare(batch, seq, seed);
        const seen = new Map<string, unknown[]>();
        for (let step = 0; step < 30; step++)
          for (const { row, epoch, documents } of rowsOfBatch(dataset, step))
            for (const { id, inRow } of documents) seen.set(id, [...(seen.get(id) ?? []), { batch: step, row, epoch, tokens: inRow }]);
        for (const [source, list] of Object.entries(texts))
          for (const number of [0, 1, 7, list.length - 1]) {
            const id = documentId(source, number);
            const [document] = findDocuments(dataset, id);
            deepStrictEqual(rowsWith(dataset, ensure(document, id), 30), seen.get(id) ?? []);
          }
        dataset.close();
      }),
      { numRuns: 6 },
    );
  });

  it("the tokens of a document at its place are its text, and a held-out document is in no row", async () => {
    const dataset = await prepare(4, 16, 1);
    let heldout = 0;
    for (const [number, text] of texts.web.entries()) {
      const [document] = findDocuments(dataset, documentId("web", number).slice(0, 16));
      const { split, start, tokens, source } = ensure(document, "document");
      equal(dataset.tokenizer.decode(dataset.tokensOf(source, split).read(start, tokens)), text);
      if (split === "heldout") heldout++;
      ok(split === "train" || rowsWith(dataset, ensure(document, "document"), 30).length === 0);
    }
    ok(heldout > 0);
    deepStrictEqual(findDocuments(dataset, "zz"), []);
    const placed = (["train", "heldout"] as const).flatMap((split) => [...placedDocuments(dataset, 0, split)]);
    equal(placed.length, texts.web.length);
    for (const each of placed) deepStrictEqual(findDocuments(dataset, each.id), [each]);
    dataset.close();
  });
});
