import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { SentencePieceTokenizer } from "@lapidary/tokenizer";
import { trainTokenizerModel } from "./train-tokenizer.js";

describe("training of a tokenizer from text files", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-test-"));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string, content: string): string => {
    const file = join(directory, name);
    writeFileSync(file, content);
    return file;
  };
  const phases: string[] = [];
  const reporter = { progress: (phase: string): void => void phases.push(phase) };
  const lines = "the café and the garden\n".repeat(100_000);

  it("files of several megabytes are read in whole lines, and characters at the ends of reads are kept", () => {
    const { file, ids, bytes } = trainTokenizerModel({ files: [path("long.txt", lines)], vocabSize: 400, maxBytes: 1e9 }, reporter);
    deepStrictEqual([ids, bytes], [400, Buffer.byteLength(lines)]);
    const tokenizer = new SentencePieceTokenizer(file);
    strictEqual(tokenizer.encode(" café").length, 1);
    ok(!tokenizer.model.pieces.some(({ text }) => text.includes("\ufffd")));
    ok(phases.includes("count the words") && phases.includes("train the tokenizer"));
  });

  it("the training reads no more bytes than requested", () => {
    const [first, second] = [path("first.txt", "aa aa\n"), path("second.txt", "bb bb\n")];
    const { file, bytes } = trainTokenizerModel({ files: [first, second], vocabSize: 400, maxBytes: 6 }, reporter);
    strictEqual(bytes, 6);
    ok(!new SentencePieceTokenizer(file).model.pieces.some(({ text }) => text === "bb"));
  });

  it("a file that cannot be read is an error with its path", () => {
    for (const missing of [join(directory, "absent"), directory])
      throws(
        () => trainTokenizerModel({ files: [missing], vocabSize: 400, maxBytes: 10 }, reporter),
        (error) => error instanceof LapidaryError && error.code.startsWith("LAP_FILE_") && error.location === missing,
      );
  });
});
