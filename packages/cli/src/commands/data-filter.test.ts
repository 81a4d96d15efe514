import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RanCommand, runInDirectory } from "../testing/run-command-line.js";

describe("lapidary data filter", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-data-filter-"));
    const rows = [
      '{"prompt": "Who are you?", "completion": "I am ChatGPT."}',
      '{"prompt": "Hello", "completion": "Hi"}',
      '{"prompt": "Hello", "completion": "Hi"}',
      "not JSON",
    ];
    writeFileSync(join(directory, "rows.jsonl"), rows.join("\n"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const run = (...words: readonly string[]): Promise<RanCommand> => runInDirectory(directory, ["data", "filter", "rows.jsonl", ...words]);

  it("the kept and the removed rows are written, and the JSON counts them by filter", async () => {
    const { exit, stdout } = await run("-o", "kept.jsonl", "--removed", "removed.jsonl", "--json");
    strictEqual(exit, 0);
    const { rows, kept, filters } = JSON.parse(stdout) as {
      readonly rows: number;
      readonly kept: number;
      readonly filters: readonly { readonly filter: string; readonly removed: number }[];
    };
    deepStrictEqual([rows, kept], [4, 1]);
    deepStrictEqual(
      filters.map(({ filter, removed }) => `${filter} ${removed}`),
      ["schema 0", "pii 0", "unsafe 0", "identity 1", "duplicates 1"],
    );
    strictEqual(readFileSync(join(directory, "kept.jsonl"), "utf8"), '{"prompt": "Hello", "completion": "Hi"}\n');
    const removed = readFileSync(join(directory, "removed.jsonl"), "utf8").trimEnd().split("\n");
    deepStrictEqual(
      removed.map((line) => (JSON.parse(line) as { row: number }).row),
      [4, 1, 3],
    );
  });

  it("the text names the first removed rows and their reasons", async () => {
    const { exit, stdout } = await run("-o", "kept.jsonl", "--filters", "identity");
    strictEqual(exit, 0);
    match(stdout, /^4 rows of the format completion, 1 refused\n/);
    match(stdout, /identity +3 +1 /);
    match(stdout, /row 1: identity found a mistaken identity/);
    match(stdout, /2 rows kept in .*kept\.jsonl/);
  });

  it("an unknown filter is an error of usage", async () => {
    strictEqual((await run("-o", "kept.jsonl", "--filters", "pi")).exit, 2);
  });
});
