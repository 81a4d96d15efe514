import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mergeAccounts } from "@lapidary/data-store";
import { ContaminationIndex } from "@lapidary/detectors";
import { ensure } from "@lapidary/std";
import { temporaryDirectory } from "@lapidary/std/testing";
import { runSmall, type SmallDocument, type SmallResult } from "../testing/small-pipeline.js";
import { parsedLines } from "../view/json-lines.js";
import { contaminationReport, type ContaminationReport } from "./contamination-report.js";
import { setNames } from "./evaluation-sets.js";

const golden = join(import.meta.dirname, "../../../../e2e/golden/data/decontamination");
const rowsOf = <T>(file: string): T[] =>
  readFileSync(join(golden, file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

interface Item {
  readonly id: string;
  readonly query: string;
  readonly label: string;
}

const lines = (values: readonly unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");

describe("the stage decontaminate", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const items = rowsOf<Item>("evals.jsonl");
  const documents = rowsOf<SmallDocument>("documents.jsonl").filter((_, i) => i % 4 === 0);

  /** Writes evaluation sets, runs the stage and reads its report. */
  async function run(
    name: string,
    sets: Readonly<Record<string, readonly unknown[]>>,
    texts: readonly SmallDocument[],
    rule: string,
    files = 3,
  ): Promise<{ readonly result: SmallResult; readonly report: ContaminationReport }> {
    const root = join(directory(), name);
    for (const [set, rows] of Object.entries(sets)) {
      mkdirSync(join(root, "evals", set, ".."), { recursive: true });
      writeFileSync(join(root, "evals", set), lines(rows));
    }
    const corpus = Object.fromEntries(
      Array.from({ length: files }, (_, i) => [`web/f${i}.jsonl`, texts.filter((_, at) => at % files === i)]),
    );
    const stages = `  - decontaminate: { items: "./evals/**/*.jsonl", ${rule} }`;
    const result = await runSmall(root, corpus, stages, 60_000);
    const key = ensure(result.plan.tasks.at(-1), "a task").key;
    let report: ContaminationReport = {};
    for await (const line of parsedLines(result.store.read(ensure(await result.store.find(key), "a report"), 0)))
      report = contaminationReport.parse(line);
    return { result, report };
  }

  it("the documents of the golden are dropped as the index in memory says, and the report splits the items", async () => {
    const index = new ContaminationIndex(items);
    const expected = documents.filter(({ text }) => index.find(text) !== undefined).map(({ id }) => id);
    const { result, report } = await run("golden", { "evals.jsonl": items }, documents, "rule: own, also_report: [gpt3-13]");
    const kept = new Set(result.kept.map(({ name }) => name));
    deepStrictEqual(
      documents.filter(({ id }) => !kept.has(id)).map(({ id }) => id),
      expected,
    );
    const counts = mergeAccounts(
      result.accounts.map(({ account }) => account),
      "test",
    );
    deepStrictEqual(counts.dropped, { "holds an item of evals.jsonl": expected.length });
    const set = ensure(report["evals.jsonl"], "a report");
    const touched = new Set(documents.flatMap(({ text }) => index.findAll(text).map(({ item }) => item)));
    deepStrictEqual([set.items, set.documents, set.by_source], [items.length, expected.length, { web: expected.length }]);
    deepStrictEqual(set.touched, [...touched].sort());
    deepStrictEqual([...set.touched, ...set.clean].sort(), items.map(({ id }) => id).sort());
    ok((set.also["gpt3-13"] ?? 0) > 0);
    strictEqual(set.passages.length, 20);
    for (const { passage, item } of set.passages) ok(passage.length > 0 && touched.has(item));
  });

  it("the report does not depend on the shards", async () => {
    const some = documents.slice(0, 60);
    const one = await run("one", { "evals.jsonl": items }, some, "rule: own", 1);
    const two = await run("two", { "evals.jsonl": items }, some, "rule: own", 2);
    const countsOf = (report: ContaminationReport): unknown =>
      Object.values(report).map(({ documents, touched, by_source }) => ({ documents, touched, by_source }));
    deepStrictEqual(countsOf(two.report), countsOf(one.report));
  });

  it("sets that share an item both find it, and names of files are told apart by their directories", async () => {
    const item = ensure(items[0], "an item");
    const sets = { "a/test.jsonl": items.slice(0, 5), "b/test.jsonl": [{ question: item.query, answer: item.label }] };
    const { report } = await run("shared", sets, [{ id: "x", text: `Before.\n${item.query}\n${item.label}\nAfter.` }], "rule: gpt3-13", 1);
    deepStrictEqual(
      Object.entries(report).map(([name, { touched, documents }]) => [name, touched, documents]),
      [
        ["a/test.jsonl", [item.id], 1],
        ["b/test.jsonl", ["line 1"], 1],
      ],
    );
    deepStrictEqual(setNames(["/x/a/test.jsonl", "/x/a/dev.jsonl"]), ["test.jsonl", "dev.jsonl"]);
  });

  it("a line that is not an item, and a pattern without files, are errors with their place", async () => {
    const text = [{ id: "x", text: "one two" }];
    for (const [i, bad] of [{ label: "x" }, { query: " " }, { query: ["x"] }].entries())
      await rejects(run(`bad-${i}`, { "e.jsonl": [items[0], bad] }, text, "rule: own", 1), {
        code: "LAP_DATA_EVALUATION_SET",
        location: /e\.jsonl:2$/,
      });
    await rejects(run("none", {}, text, "rule: own", 1), { code: "LAP_DATA_MISSING" });
  });
});
