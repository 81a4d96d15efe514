import { match, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInDirectory } from "../testing/run-command-line.js";

describe("lapidary compare", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-compare-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  const refused = async (message: RegExp, ...words: readonly string[]): Promise<void> => {
    const { exit, stderr } = await runInDirectory(directory, ["compare", "a", "b", ...words]);
    strictEqual(exit, 2, stderr);
    match(stderr, message);
  };

  it("options that do not fit together are refused before a model is read", async () => {
    await refused(/--data/);
    await refused(/--checker and --judge were given/, "--data", "x", "--checker", "exact", "--judge", "c");
    await refused(/--judge and --verdicts were given/, "--data", "x", "--judge", "c", "--verdicts", "v");
    await refused(/only a judge has a template/, "--data", "x", "--checker", "exact", "--template", "t");
    await refused(/only a judge sees an order of answers/, "--data", "x", "--verdicts", "v", "--orders", "both");
  });

  it("numbers outside of their range are refused", async () => {
    await refused(/invalid number of tokens: 0/, "--data", "x", "--max-tokens", "0");
    await refused(/invalid temperature: 101/, "--data", "x", "--temperature", "101");
    await refused(/invalid number of rows: 0/, "--data", "x", "--rows", "0");
  });
});
