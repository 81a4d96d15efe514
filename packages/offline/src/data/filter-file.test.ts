import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError, systemClock } from "@lapidary/std";
import { collectingReporter } from "../testing/collecting-reporter.js";
import { filterFile, type FilteredFile, type FilterFileRequest } from "./filter-file.js";

describe("filterFile", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-filter-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const file = (name: string, lines: readonly string[]): string => {
    const path = join(directory, name);
    writeFileSync(path, lines.join("\n"));
    return path;
  };
  const filter = (path: string, request: Partial<FilterFileRequest> = {}): FilteredFile =>
    filterFile(
      { file: path, filters: undefined, against: [], own: [], classifier: undefined, ...request },
      { clock: systemClock, reporter: collectingReporter().reporter },
    );
  const rows = [
    '{"prompt": "Who are you?",  "completion": "I am ChatGPT."}',
    '{"prompt": "Hello", "completion": "Hi"}',
    '{"prompt": "Hello", "completion": "Hi"}',
    '{"prompt": "Write to jane.doe@acme.com", "completion": "Done."}',
    "not JSON",
    '{"prompt": "What is the tallest mountain of the world above the level of the sea today?", "completion": "Everest"}',
    '{"prompt": "Bye", "completion": "See you", "source": "mine"}',
  ];

  it("the kept rows are those of the file, and each removed row has a reason", () => {
    const { format, rows: total, kept, refused, removed, reports } = filter(file("rows.jsonl", rows));
    deepStrictEqual([format, total, refused.map(({ row }) => row)], ["completion", 7, [5]]);
    deepStrictEqual(kept, [rows[1], rows[5], rows[6]]);
    deepStrictEqual(
      removed.map(({ row }) => row),
      [4, 1, 3],
    );
    deepStrictEqual(
      reports.map((report) => [report.filter, report.checked, report.removed]),
      [
        ["schema", 6, 0],
        ["pii", 6, 1],
        ["unsafe", 5, 0],
        ["identity", 5, 1],
        ["duplicates", 4, 1],
      ],
    );
    ok(reports.every(({ milliseconds }) => milliseconds >= 0));
  });

  it("the filter of contamination compares with the questions of evaluation sets", () => {
    const held = file("held.jsonl", ['{"prompt": "what is the tallest mountain of the world above the level of the sea today"}']);
    const { kept, reports } = filter(file("contaminated.jsonl", rows), { filters: ["contamination"], against: [held] });
    deepStrictEqual([kept.length, reports[0]?.removedByKind], [5, { overlap: 1 }]);
  });

  it("the names of the own model are not a mistaken identity", () => {
    const path = file("own.jsonl", ['{"prompt": "Who are you?", "completion": "I am ChatGPT."}']);
    deepStrictEqual(filter(path, { filters: ["identity"], own: ["ChatGPT"] }).kept.length, 1);
  });

  it("an unknown filter, and contamination without an evaluation set, are refused", () => {
    const refuses = (request: Partial<FilterFileRequest>): void =>
      throws(
        () => filter(file("any.jsonl", rows), request),
        (error) => error instanceof LapidaryError && error.code === "LAP_EXAMPLE_FILTER",
      );
    refuses({ filters: ["duplicate"] });
    refuses({ filters: ["contamination"] });
    refuses({ filters: ["pii"], against: ["held.jsonl"] });
  });
});
