import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { isOfType } from "@lapidary/api/run-events";
import { caseInput, tinyJob } from "../support/cases.js";
import { Home } from "../support/cli.js";

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly place: string; readonly remedy: string };
}

describe("texts of users", function () {
  this.timeout(180_000);
  let home: Home;
  before(async () => {
    home = new Home();
    await home.json("up", "--workers", "1");
  });
  after(() => home.clear());

  const train = (corpus: string, name: string): Promise<Record<string, unknown>> =>
    home.json("launch", tinyJob, "train.steps=1", `data.corpus=${corpus}`, "--name", name);
  const refused = async (corpus: string, ...more: string[]): Promise<Failure["error"]> => {
    const { code, stdout } = await home.run("launch", tinyJob, "train.steps=1", `data.corpus=${corpus}`, ...more, "--json");
    assert.equal(code, 2, stdout);
    return (JSON.parse(stdout) as Failure).error;
  };
  const reportOf = async (id: string): Promise<{ heldout_loss: number; unigram_loss: number }> =>
    (await home.json("jobs", "get", id)).report as { heldout_loss: number; unigram_loss: number };
  const datasetOf = (text: string): string => join(home.directory, text);

  it("48: the remedy for another field name is a key of the job file, and the error calls a conversation a conversation", async () => {
    const { code, message, remedy } = await refused(caseInput("48-name-of-the-text-field/chat.jsonl"));
    assert.equal(code, "LAP_DATA_JSONL");
    assert.match(message, /conversation in `messages`/);
    const rows = Array.from({ length: 400 }, (_, id) => JSON.stringify({ id: `${id}`, body: `text number ${id} `.repeat(20 + (id % 7)) }));
    writeFileSync(datasetOf("body.jsonl"), `${rows.join("\n")}\n`);
    const other = await refused(datasetOf("body.jsonl"));
    assert.match(other.remedy, /`data\.text_field: body`/);
    assert.doesNotMatch(`${remedy} ${other.remedy}`, /textField|vocabSize/);
    await home.json("launch", tinyJob, "train.steps=1", `data.corpus=${datasetOf("body.jsonl")}`, "data.text_field=body", "--name", "body");
  });

  it("50: a text of 8 MB without empty lines trains with any line ends", async () => {
    const line = "the quick brown fox jumps over the lazy dog and runs away from it again";
    for (const [name, separator] of [
      ["lines", "\n"],
      ["one-line", " "],
    ] as const) {
      writeFileSync(datasetOf(name), (line + separator).repeat(8e6 / line.length));
      await train(datasetOf(name), name);
    }
  });

  it("52: gzip and zstd are read like unpacked files, and errors name other archives", async () => {
    const packed = caseInput("52-compressed-text/corpus.jsonl.gz");
    await train(packed, "packed");
    writeFileSync(datasetOf("corpus.jsonl"), gunzipSync(readFileSync(packed)));
    await train(datasetOf("corpus.jsonl"), "unpacked");
    await train(caseInput("52-compressed-text/corpus.jsonl.zst"), "zstd");
    const [a, b, c] = [await reportOf("packed"), await reportOf("unpacked"), await reportOf("zstd")];
    assert.ok(Number.isFinite(a.heldout_loss));
    for (const other of [b, c]) assert.deepEqual([a.heldout_loss, a.unigram_loss], [other.heldout_loss, other.unigram_loss]);
    writeFileSync(datasetOf("cut.jsonl.zst"), readFileSync(caseInput("52-compressed-text/corpus.jsonl.zst")).subarray(0, 30_000));
    const cut = await refused(datasetOf("cut.jsonl.zst"));
    assert.equal(cut.code, "LAP_DATA_ARCHIVE");
    assert.match(cut.message, /damaged zstd file: the file is truncated/);
    writeFileSync(datasetOf("corpus.jsonl.xz"), Buffer.from("\xfd7zXZ\0\0\x04", "latin1"));
    const { code, remedy } = await refused(datasetOf("corpus.jsonl.xz"));
    assert.equal(code, "LAP_DATA_NOT_TEXT");
    assert.match(remedy, /unxz/);
    assert.doesNotMatch(remedy, /LATIN1/);
  });

  it("56: a directory of links is the corpus that it links to", async () => {
    const snapshot = datasetOf("snapshot");
    mkdirSync(snapshot);
    for (const part of [0, 1]) symlinkSync(caseInput(`56-directory-of-links/blobs/${part}`), join(snapshot, `part-${part}.txt`));
    await train(snapshot, "links");
    const [ready] = (await home.events("links")).filter(isOfType("dataset_ready"));
    assert.ok(ready !== undefined && ready.corpus.endsWith("snapshot") && ready.documents > 0, JSON.stringify(ready));
  });

  it("56: stderr, result and log report the number of skipped files of a corpus for each reason", async () => {
    const mixed = datasetOf("mixed");
    mkdirSync(mixed);
    for (const part of [0, 1]) symlinkSync(caseInput(`56-directory-of-links/blobs/${part}`), join(mixed, `part-${part}.txt`));
    symlinkSync("nowhere", join(mixed, "part-2.txt"));
    writeFileSync(join(mixed, "paper.pdf"), "%PDF-1.7");
    writeFileSync(join(mixed, ".hidden"), "x");
    const { code, stdout, stderr } = await home.run(
      "launch",
      tinyJob,
      "train.steps=1",
      `data.corpus=${mixed}`,
      "--name",
      "mixed",
      "--json",
    );
    assert.equal(code, 0, stderr);
    const { warnings } = JSON.parse(stdout) as { warnings: { code: string; message: string }[] };
    const message = "2 entries of the corpus are skipped: 1 a PDF document, 1 dangling link";
    assert.deepEqual(
      warnings.filter(({ code: each }) => each === "LAP_DATA_LEFT_OUT").map((each) => each.message),
      [message],
    );
    assert.ok(stderr.includes(message), stderr);
    const [skipped] = (await home.events("mixed")).filter(isOfType("documents_skipped"));
    assert.ok(skipped !== undefined && skipped.corpus.endsWith("mixed"), JSON.stringify(skipped));
    assert.deepEqual(skipped.reasons, { "a PDF document": 1, "dangling link": 1, "hidden (its name begins with a dot)": 1 });
  });
});
