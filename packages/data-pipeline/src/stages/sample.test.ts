import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { temporaryDirectory } from "@lapidary/std/testing";
import fc from "fast-check";
import { binOfId, idBins, lastBinOf, SampleIds } from "./sample.js";

const idOf = (number: number): string => createHash("sha256").update(String(number)).digest("hex");

describe("the sample that trains a tokenizer", () => {
  const directory = temporaryDirectory();

  it("has the texts with the smallest ids that fit, and at least one; its bins have all of them", () => {
    const sizes = fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 300 }), (all, limit) => {
        const texts = all.map((bytes, i) => ({ id: idOf(i), bytes }));
        const bins = new Float64Array(idBins);
        const ids = new SampleIds(directory());
        for (const { id, bytes } of texts) {
          bins[binOfId(id)] = (bins[binOfId(id)] ?? 0) + bytes;
          ids.add(id, bytes);
        }
        let sum = 0;
        const byId = texts.toSorted((a, b) => (a.id < b.id ? -1 : 1));
        const end = byId.findIndex(({ bytes }, i) => (sum += bytes) > limit && i > 0);
        const fitting = byId.slice(0, end < 0 ? byId.length : end).map(({ id }) => id);
        const last = lastBinOf(bins, limit);
        strictEqual(
          fitting.every((id) => binOfId(id) <= last),
          true,
        );
        const has = ids.finish(limit);
        deepStrictEqual(
          byId.map(({ id }) => id).filter((id) => has(id)),
          fitting,
        );
      }),
    );
  });

  it("bins are a part of the corpus that shrinks with the sample", () => {
    const bins = new Float64Array(idBins).fill(1000);
    deepStrictEqual(
      [0, 999, 1000, 10_500, 1e9].map((limit) => lastBinOf(bins, limit)),
      [0, 0, 1, 10, idBins - 1],
    );
  });
});
