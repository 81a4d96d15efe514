import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RanCommand, runInDirectory } from "../testing/run-command-line.js";

const lines = (count: number, about: string): string =>
  Array.from({ length: count }, (_, i) => `The line ${i} of this text tells ${about} with the words that people use.`).join("\n");

describe("lapidary data run and its results", function () {
  this.timeout(60_000);
  let directory: string;
  const run = (...words: readonly string[]): Promise<RanCommand> => runInDirectory(directory, ["data", ...words]);
  const json = async (...words: readonly string[]): Promise<Record<string, unknown>> => {
    const { exit, stdout, stderr } = await run(...words, "--json");
    strictEqual(exit, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "lapidary-data-run-"));
    const texts = [lines(2, "little"), lines(9, "more"), lines(12, "most")];
    writeFileSync(join(directory, "rows.jsonl"), texts.map((text, i) => `${JSON.stringify({ id: `row-${i}`, text })}\n`).join(""));
    writeFileSync(
      join(directory, "p.yaml"),
      [
        "sources: { rows: { read: ./rows.jsonl, licence: own } }",
        "stages:",
        "  - measure: [gopher]",
        "  - rules: { short: gopher.words < 60 }",
        "  - redact: { email: <email> }",
        "  - tokenize: { train: { size: 700 } }",
        "out: ./out",
      ].join("\n"),
    );
    const { exit, stderr } = await run("run", "p.yaml", "--workers", "1");
    strictEqual(exit, 0, stderr);
  });
  after(() => rmSync(directory, { recursive: true }));

  it("a second run finds all objects, and its JSON has the accounts and the dataset", async () => {
    const result = await json("run", "p.yaml", "--workers", "1");
    strictEqual(result["computed"], 0);
    const stages = result["stages"] as readonly Record<string, unknown>[];
    deepStrictEqual(
      stages.map(({ stage, in: all, out, dropped }) => [stage, all, out, dropped]),
      [
        ["read", 3, 3, {}],
        ["measure", 3, 3, {}],
        ["rules", 3, 2, { short: 1 }],
        ["redact", 2, 2, {}],
        ["tokenize", 2, 2, {}],
      ],
    );
    deepStrictEqual(result["dataset"], JSON.parse(readFileSync(join(directory, "out/dataset.json"), "utf8")));
  });

  it("--check fails because a stage changed nothing", async () => {
    const { exit, stderr } = await run("run", "p.yaml", "--workers", "1", "--check");
    strictEqual(exit, 1);
    match(stderr, /LAP_DATA_IDLE: the stage redact changed none of 2 documents/);
  });

  it("the results of the pipeline that ran last need no path", async () => {
    const status = await json("status");
    deepStrictEqual([status["complete"], status["published"], status["running"]], [true, true, null]);
    const effect = await json("whatif", "gopher.words_min = 10");
    deepStrictEqual(effect["kept"], { before: 2, after: 3 });
    const { documents } = (await json("why", "row-0")) as { readonly documents: readonly { readonly stages: readonly object[] }[] };
    deepStrictEqual(documents[0]?.stages.at(-1), { stage: "rules", kind: "dropped", reason: "short" });
    const { files } = (await json("card")) as { readonly files: readonly string[] };
    ok(files.every((file) => existsSync(file)));
    match((await run("card")).stdout, /\| short \| 1 \| 33\.3 % \|/);
    deepStrictEqual((await json("diff", "p.yaml", "out"))["added"], []);
    deepStrictEqual([(await json("gc", "--dry-run"))["dry_run"], (await json("gc"))["removed"]], [true, []]);
  });

  it("mistakes are errors with their remedy", async () => {
    const absent = await run("why", "row-9");
    deepStrictEqual([absent.exit, /LAP_DATA_NO_DOCUMENT/.test(absent.stderr)], [102, true]);
    const rule = await run("whatif", "gopher.word_min = 10");
    deepStrictEqual([rule.exit, /write gopher\.words_min/.test(rule.stderr)], [2, true]);
    const workers = await run("run", "p.yaml", "--workers", "0");
    deepStrictEqual([workers.exit, /--workers/.test(workers.stderr)], [2, true]);
  });
});
