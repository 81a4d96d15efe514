import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LapidaryError } from "@lapidary/std";
import { benchData, type BenchReport, type BenchRequest } from "./bench.js";
import { repeatedTexts } from "./corpus.js";

const fixtures = fileURLToPath(new URL("../../../../../e2e/golden/data", import.meta.url));
const hasCode = (code: string) => (error: unknown) => error instanceof LapidaryError && error.code === code;

describe("the benchmark of data", function () {
  this.timeout(120_000);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-bench-test-"));
  const input = join(directory, "in");
  const bench = (request: Partial<BenchRequest>): Promise<BenchReport> =>
    benchData({ fixtures, stages: [], repetitions: 1, env: process.env, ...request }, { progress: () => undefined });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("a text is repeated with other words in some places, and the same size gives the same corpus", () => {
    const texts = ["one two three four five six seven ".repeat(20), "eight nine ten eleven twelve ".repeat(20)];
    const [first, second] = [[...repeatedTexts(texts, 20_000)], [...repeatedTexts(texts, 20_000)]];
    deepStrictEqual(first, second);
    deepStrictEqual(first.slice(0, 2), texts);
    strictEqual(new Set(first).size, first.length);
    ok(first.reduce((sum, text) => sum + Buffer.byteLength(text), 0) >= 20_000);
    ok(!first.slice(2).includes(texts[0] ?? ""));
  });

  it("a stage reads each document of a directory once, and its output is kept where the caller wants it", async () => {
    mkdirSync(input);
    const texts = ["A first text of some words.", "Überall gibt es Wörter.", "one"];
    writeFileSync(join(input, "a.jsonl"), texts.map((text, id) => `${JSON.stringify({ id: `d${id}`, text })}\n`).join(""));
    const output = join(directory, "out");
    const { stages, peer } = await bench({ input, output, stages: ["copy"] });
    const [copy] = stages;
    strictEqual(peer, undefined);
    deepStrictEqual(
      [copy?.ours.documents_in, copy?.ours.documents_out, copy?.ours.bytes],
      [3, 3, texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)],
    );
    deepStrictEqual(
      readFileSync(join(output, "copy"), "utf8").trim().split("\n"),
      texts.map((text, id) => JSON.stringify({ id: `d${id}`, text })),
    );
    ok((copy?.mb_per_s ?? 0) > 0 && copy?.ratio === undefined);
  });

  it("an unknown stage, a Python without the peers and an empty corpus are errors with a code", async () => {
    await rejects(bench({ input, stages: ["filter"] }), hasCode("LAP_BENCH_STAGE"));
    await rejects(bench({ input, peer: process.execPath }), hasCode("LAP_BENCH_PEER"));
    await rejects(bench({ input, peer: "/no/such/python" }), hasCode("LAP_BENCH_PEER"));
    writeFileSync(join(input, "a.jsonl"), "");
    await rejects(bench({ input, megabytes: 1, stages: ["copy"] }), hasCode("LAP_DATA_EMPTY"));
  });
});
