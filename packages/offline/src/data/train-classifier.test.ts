import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError, systemClock } from "@lapidary/std";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { filterFile } from "./filter-file.js";
import { readClassifier, trainTextClassifier } from "./train-classifier.js";

describe("trainTextClassifier", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-classifier-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const { reporter } = collectingReporter();
  const file = (name: string, rows: readonly object[]): string => {
    const path = join(directory, name);
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
    return path;
  };
  const hasCode =
    (code: string) =>
    (error: unknown): boolean =>
      error instanceof LapidaryError && error.code === code;
  const labelled = (count: number): readonly object[] =>
    Array.from({ length: count }, (_, i) => ({ text: `step ${i}: ${i % 2 === 0 ? "mix the acid" : "mix the dough"}`, label: i % 2 }));

  it("the written classifier extends the filter of unsafe texts", () => {
    const path = file("labelled.jsonl", [...labelled(200), { text: "no label" }]);
    const { json, quality, trained, heldOut, refused } = trainTextClassifier({ files: [path], precision: 0.95, seed: 0 }, reporter);
    deepStrictEqual([quality.precision, quality.recall, quality.auc, refused.length], [1, 1, 1, 1]);
    strictEqual(trained.unsafe + trained.safe + heldOut.unsafe + heldOut.safe, 200);
    const model = join(directory, "unsafe.json");
    writeFileSync(model, json);
    const data = file("demos.jsonl", [
      { prompt: "How?", completion: "First mix the dough." },
      { prompt: "How?", completion: "First mix the acid." },
    ]);
    const request = { file: data, filters: ["unsafe"], against: [], own: [] };
    const { reports, removed } = filterFile({ ...request, classifier: model }, { clock: systemClock, reporter });
    deepStrictEqual([reports[0]?.removedByKind, removed.map(({ row }) => row)], [{ classifier: 1 }, [1]]);
    strictEqual(filterFile({ ...request, classifier: undefined }, { clock: systemClock, reporter }).removed.length, 0);
  });

  it("few rows, a precision that no threshold reaches, and another file are refused", () => {
    const train = (rows: readonly object[], precision = 0.9): unknown =>
      trainTextClassifier({ files: [file("some.jsonl", rows)], precision, seed: 0 }, reporter);
    throws(() => train(labelled(10)), hasCode("LAP_CLASSIFIER_ROWS"));
    const noise = Array.from({ length: 200 }, (_, i) => ({ text: `same words ${i}`, label: (i >> 1) % 2 }));
    throws(() => train(noise, 1), hasCode("LAP_CLASSIFIER_PRECISION"));
    throws(() => readClassifier(file("other.json", [{ a: 1 }])), hasCode("LAP_CLASSIFIER_FILE"));
    throws(() => readClassifier(join(directory, "missing.json")), hasCode("LAP_FILE_MISSING"));
  });
});
