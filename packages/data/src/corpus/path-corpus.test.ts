import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { LapidaryError } from "@lapidary/std";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import { readCorpus, sourcesOf } from "../testing/read-corpus.js";
import { prose } from "@lapidary/std/testing";

const workspace = new Workspace();
after(() => workspace.remove());

describe("a corpus of a user", () => {
  it("the concatenated documents of a text file equal the file", () => {
    const text = prose(4, 400);
    const corpus = readCorpus(join(workspace.folder({ "book.txt": text }), "book.txt"));
    ok(corpus.documents.length > 20);
    strictEqual(corpus.documents.map((document) => document.text).join(""), text);
    strictEqual(corpus.documents[0]?.source, "book.txt#1");
  });

  it("each text file of a directory is a document, in an order independent of the locale, and binary files are skipped", () => {
    const folder = workspace.folder({
      "b.txt": prose(5, 8),
      "B.md": prose(6, 8),
      "sub/a.txt": prose(7, 8),
      "image.png": Buffer.from([0x89, 0, 1, 0xff]),
      "empty.txt": " \n",
      ".git/x": "x",
      "node_modules/p/y.js": "y",
    });
    const corpus = readCorpus(folder);
    deepStrictEqual(sourcesOf(corpus), ["B.md", "b.txt", "sub/a.txt"]);
    deepStrictEqual(corpus.skipped, {
      binary: 1,
      blank: 1,
      "hidden (its name begins with a dot)": 1,
      "node_modules directory": 1,
    });
  });

  it("the error of invalid UTF-8 names the file and the byte", () => {
    const latin = Buffer.from("caf\xe9 au lait", "latin1");
    throws(() => readCorpus(join(workspace.folder({ "l.txt": latin }), "l.txt")), hasCode("LAP_DATA_NOT_UTF8", "byte 3"));
    throws(() => readCorpus(workspace.folder({ "a.txt": "fine", "sub/l.txt": latin })), hasCode("LAP_DATA_NOT_UTF8", "l.txt, byte 3"));
    const lines = Buffer.concat([Buffer.from('{"text":"x"}\n{"text":"'), latin, Buffer.from('"}\n')]);
    throws(() => readCorpus(join(workspace.folder({ "d.jsonl": lines }), "d.jsonl")), hasCode("LAP_DATA_NOT_UTF8", `byte ${13 + 9 + 3}`));
  });

  it("an empty file, a missing file and a device are errors, and a similar file name is proposed", () => {
    throws(() => readCorpus(join(workspace.folder({ "e.txt": "" }), "e.txt")), hasCode("LAP_DATA_EMPTY", "e.txt"));
    throws(() => readCorpus(join(workspace.folder({ "e.jsonl": "\n" }), "e.jsonl")), hasCode("LAP_DATA_EMPTY"));
    throws(() => readCorpus(workspace.folder()), hasCode("LAP_DATA_EMPTY"));
    throws(() => readCorpus("/dev/null"), hasCode("LAP_DATA_UNREADABLE", "/dev/null"));
    throws(
      () => readCorpus(join(workspace.folder({ "poems.txt": "x" }), "peoms.txt")),
      (error) => hasCode("LAP_DATA_MISSING", "peoms.txt")(error) && String((error as { remedy?: string }).remedy).includes("poems.txt"),
    );
  });

  it("the error of a directory without text lists the skipped files, and that of a dangling link its target", () => {
    throws(() => readCorpus(workspace.folder({ "b.pdf": "%PDF-1.7", ".x": "x" })), /skipped: 1 a PDF document, 1 hidden/);
    const folder = workspace.folder();
    symlinkSync("nowhere", join(folder, "d.txt"));
    throws(() => readCorpus(join(folder, "d.txt")), /is a link to nowhere/);
  });

  it("a directory with unsupported files is read, and their number is counted by reason", () => {
    const corpus = readCorpus(
      workspace.folder({ "a.txt": "alpha", "b.xz": Buffer.from("\xfd7zXZ\0....", "latin1"), "c.pdf": "%PDF-1.7", "d.bin": "x\0y" }),
    );
    deepStrictEqual([sourcesOf(corpus), corpus.skipped], [["a.txt"], { "a PDF document": 1, "an xz archive": 1, binary: 1 }]);
  });

  it("the remedy of a missing path explains addresses, home directories and patterns", () => {
    const remedy = (path: string): string => {
      try {
        readCorpus(path);
      } catch (error) {
        return error instanceof LapidaryError ? error.remedy : "";
      }
      return "";
    };
    match(remedy("/base/https:/huggingface.co/x.txt"), /download the text/);
    match(remedy("/base/s3:/bucket/x"), /download the text/);
    match(remedy("/base/file:/tmp/x"), /without `file:/);
    match(remedy("/base/~/text"), /`~` is not expanded/);
    match(remedy("/base/data/*.txt"), /name the directory/);
  });
});
