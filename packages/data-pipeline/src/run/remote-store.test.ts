import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openStore } from "@lapidary/data-store";
import { putObject, startS3Server, type TestS3Server } from "@lapidary/data-store/testing";
import { verifyPublished } from "@lapidary/mixture";
import { temporaryDirectory } from "@lapidary/std/testing";
import { datasetCard } from "../result/card.js";
import { collectGarbage } from "../result/collect-garbage.js";
import { pipelineStatus } from "../result/status.js";
import { verifyObjects } from "../result/verify-objects.js";
import { whatIf } from "../result/whatif.js";
import { whyDocument } from "../result/why.js";
import { jsonlOf, localRunner, proseOf, runFile, writeText } from "../testing/pipelines.js";
import type { StartRunner } from "./task-executor.js";

const stages = `stages:
  - measure: [gopher]
  - rules: { short: gopher.words < 45 }
  - dedup: { exact: { scope: all }, near: { scope: all }, substring: { scope: all } }
  - decontaminate: { items: ./evals/*.jsonl }
  - tokenize: { train: { size: 600 } }
shard: 12kB
out: ./`;

/** Enough for tests of sources and of files of stages. */
const fewStages = `stages:
  - decontaminate: { items: ./evals/*.jsonl }
out: ./`;

const texts = Array.from({ length: 24 }, (_, i) => proseOf(i % 20, 4 + (i % 5)));
const sourceFiles: Readonly<Record<string, Buffer>> = {
  "web/a.jsonl": Buffer.from(jsonlOf(texts.slice(0, 12))),
  "web/b+c d.jsonl.gz": gzipSync(jsonlOf(texts.slice(12))),
  "books/deep/one.txt": Buffer.from(proseOf(77, 9)),
};

describe("pipelines with a store in an S3-compatible server", function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  let server: TestS3Server;
  beforeEach(async () => {
    server = await startS3Server(join(directory(), "server"));
    writeText(join(directory(), "evals/items.jsonl"), `${JSON.stringify({ id: "i", query: proseOf(500, 3), label: "two words" })}\n`);
    for (const [name, bytes] of Object.entries(sourceFiles)) await putObject(server, `corpus/${name}`, bytes);
  });
  afterEach(() => server.close());

  const remoteFile = (out: string, listed = fewStages): string =>
    writeText(
      join(directory(), `${out}.yaml`),
      `sources:
  books: { read: s3://data/corpus/books, licence: CC0-1.0 }
  web: { read: "s3://data/corpus/web/*.jsonl*", licence: CC0-1.0 }
${listed}${out}
store: s3://data/objects of/v3
`,
    );

  it("the run over S3 has the objects of the run over directories, and its results need nothing else", async () => {
    for (const [name, bytes] of Object.entries(sourceFiles))
      writeText(join(directory(), "in", name), "") && writeFileSync(join(directory(), "in", name), bytes);
    const local = writeText(
      join(directory(), "local.yaml"),
      `sources:
  books: { read: ./in/books, licence: CC0-1.0 }
  web: { read: "./in/web/*.jsonl*", licence: CC0-1.0 }
${stages}local
`,
    );
    const calm = await runFile(local);
    const remote = await runFile(remoteFile("remote", stages), { s3: server.access });
    const out = join(directory(), "remote");
    deepStrictEqual([...remote.plan.keys()], [...calm.plan.keys()]);
    strictEqual(remote.computed, calm.computed);
    const access = { s3: server.access, scratch: join(directory(), "scratch") };
    const [here, there] = [openStore(join(directory(), "local"), access), openStore("s3://data/objects of/v3", access)];
    for (const key of remote.plan.keys()) deepStrictEqual(await there.find(key), await here.find(key), key);
    await verifyObjects(out, server.access);
    deepStrictEqual(await verifyPublished(out), await verifyPublished(join(directory(), "local")));
    ok((calm.stages.find(({ stage }) => stage === "dedup")?.counts.dropped["copy of web"] ?? 0) > 0);

    strictEqual((await pipelineStatus(out, server.access)).isComplete, true);
    deepStrictEqual((await datasetCard(out, server.access)).stages, (await datasetCard(join(directory(), "local"))).stages);
    const change = "gopher.words_min = 60";
    deepStrictEqual(await whatIf(out, change, server.access), await whatIf(join(directory(), "local"), change));
    strictEqual((await whyDocument(out, "deep/one.txt:", server.access).catch(() => [])).length, 0);
    match((await whyDocument(out, "a.jsonl:line 2", server.access))[0]?.source ?? "", /web/);

    const again = await runFile(remoteFile("remote", stages), { s3: server.access, startRunner: neverRunning });
    deepStrictEqual([again.computed, again.found], [0, remote.computed]);
    await there.write("f".repeat(64), async function* () {
      yield (async function* () {
        yield Buffer.from("left by an earlier plan");
      })();
      return { in: 0, out: 0, dropped: {}, bytes: 0, errors: [] };
    });
    deepStrictEqual((await collectGarbage(out, { s3: server.access })).objects, ["f".repeat(64)]);
    strictEqual((await pipelineStatus(out, server.access)).isComplete, true);
  });

  it("a worker that lacks the files of stages takes them from the store", async () => {
    const file = remoteFile("remote");
    const evaluation = join(directory(), "evals/items.jsonl");
    const content = readFileSync(evaluation);
    const start: StartRunner = (...where) => {
      const runner = localRunner(...where);
      return {
        ...runner,
        request: async (message) => {
          rmSync(evaluation, { force: true });
          return runner.request(message);
        },
      };
    };
    const first = await runFile(file, { s3: server.access, startRunner: start });
    writeFileSync(evaluation, content);
    const again = await runFile(file, { s3: server.access, startRunner: neverRunning });
    deepStrictEqual([again.computed, ...again.plan.keys()], [0, ...first.plan.keys()]);
  });

  it("a source that changes while the pipeline runs is an error, and the next run reads it", async () => {
    const file = remoteFile("remote");
    const start: StartRunner = (...where) => {
      const runner = localRunner(...where);
      return {
        ...runner,
        request: async (message) => {
          await putObject(server, "corpus/books/deep/one.txt", Buffer.from(proseOf(78, 9)));
          return runner.request(message);
        },
      };
    };
    await rejects(runFile(file, { s3: server.access, startRunner: start }), {
      code: "LAP_DATA_CHANGED",
      location: "s3://data/corpus/books/deep/one.txt",
    });
    strictEqual((await runFile(file, { s3: server.access })).stages[0]?.bySource["books"]?.out, 1);
  });

  it("missing credentials, a missing object and an address of another kind are errors with their place", async () => {
    await rejects(runFile(remoteFile("remote")), { code: "LAP_DATA_CREDENTIALS", location: /s3:\/\// });
    const file = remoteFile("remote");
    writeFileSync(file, readFileSync(file, "utf8").replace("corpus/books", "corpus/none"));
    await rejects(runFile(file, { s3: server.access }), { code: "LAP_DATA_MISSING", location: /remote\.yaml:2:/ });
    writeFileSync(file, readFileSync(file, "utf8").replace("store: s3:", "store: gs:"));
    await rejects(async () => runFile(file, { s3: server.access }), { code: "LAP_DATA_PIPELINE" });
  });
});

const neverRunning: StartRunner = () => ({
  request: () => {
    throw new Error("a task ran twice");
  },
  kill: () => undefined,
});
