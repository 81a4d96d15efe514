import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { prose } from "@lapidary/std/testing";
import { CorpusFiles, readCorpus, sourcesOf } from "../testing/read-corpus.js";

const workspace = new CorpusFiles();
after(() => workspace.remove());

describe("formats of corpus files", () => {
  it("the error of a pointer, table, JSON value, pickle, or UTF-32 without a mark names the format and a remedy", () => {
    const zip = (name: string): Buffer => Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(26), Buffer.from(name)]);
    for (const [name, content, what, remedy] of [
      ["d.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", /Git LFS/, /git lfs pull/],
      ["d.csv", "id,text\n1,Hello there\n", /table/, /csv\.DictReader/],
      ["d.tsv.gz", gzipSync("id\ttext\n1\tHello there\n"), /table/, /delimiter="\\t"/],
      ["d.json", '{\n  "text": "one"\n}\n', /one JSON object/, /jq -c \./],
      ["d.json", '["one", "two"]', /one JSON array/, /\{text: \.\}/],
      ["d.pkl", "\x80\x04\x95\x01", /pickle/, /JSON lines/],
      ["d.arrow", "\xff\xff\xff\xff\x10\x01\0\0", /Arrow stream/, /pyarrow/],
      ["d.docx", zip("[Content_Types].xml"), /office program/, /export/],
      ["d.pt", zip("archive/data.pkl"), /PyTorch/, /file of text/],
      ["d.txt", Buffer.from([...prose(32, 4)].flatMap((c) => [c.charCodeAt(0), 0, 0, 0])), /UTF-32LE/, /iconv -f UTF-32LE/],
    ] as const) {
      const found = workspace.refusal(name, typeof content === "string" ? Buffer.from(content, "latin1") : content);
      strictEqual(found.code, "LAP_DATA_NOT_TEXT", name);
      match(found.message, what);
      match(found.remedy, remedy);
    }
    strictEqual(
      workspace
        .texts("name.txt", `BZhang wrote ${prose(33, 4)}`)
        .join("")
        .slice(0, 12),
      "BZhang wrote",
    );
  });

  it("a gzip file of text, JSON lines or several members has the documents of the decompressed file", () => {
    const text = prose(32, 100);
    deepStrictEqual(workspace.texts("book.txt.gz", gzipSync(text)), workspace.texts("book.txt", text));
    deepStrictEqual(workspace.texts("named-otherwise", gzipSync(text)).join(""), text);
    deepStrictEqual(workspace.texts("d.jsonl.gz", gzipSync('{"text":"one"}\n{"text":"two"}\n')), ["one", "two"]);
    const members = Buffer.concat([gzipSync('{"text":"one"}\n'), gzipSync('{"text":"two"}\n')]);
    deepStrictEqual(workspace.texts("m.jsonl.gz", members), ["one", "two"]);
    deepStrictEqual(sourcesOf(readCorpus(workspace.folder({ "a.txt.gz": gzipSync("alpha"), "b.txt": "beta" }))), ["a.txt.gz", "b.txt"]);
  });

  it("truncated and damaged gzip files are errors, and the error of a compressed tar names the tar", () => {
    const packed = gzipSync(prose(33, 100));
    strictEqual(workspace.refusal("cut.gz", packed.subarray(0, packed.length - 20)).code, "LAP_DATA_ARCHIVE");
    const damaged = Buffer.from(packed);
    damaged[damaged.length - 6] = (damaged[damaged.length - 6] ?? 0) ^ 1;
    strictEqual(workspace.refusal("damaged.gz", damaged).code, "LAP_DATA_ARCHIVE");
    const tar = Buffer.alloc(1024);
    tar.write("ustar", 257, "latin1");
    match(workspace.refusal("d.tar.gz", gzipSync(tar)).message, /tar archive/);
  });

  it("the error of an archive, table or document names its format by the first bytes, and a command that extracts text", () => {
    for (const [bytes, what, remedy] of [
      ["\xfd7zXZ\0", /xz archive/, /unxz/],
      ["BZh91AY", /bzip2/, /bunzip2/],
      ["PK\x03\x04", /zip archive/, /unzip/],
      ["7z\xbc\xaf\x27\x1c", /7-Zip/, /7z x/],
      ["PAR1", /Parquet/, /to_json/],
      ["%PDF-1.7", /PDF/, /pdftotext/],
      ["SQLite format 3\0", /SQLite/, /sqlite3/],
    ] as const) {
      const { code, message, remedy: found } = workspace.refusal("x.txt", Buffer.from(`${bytes} and more`, "latin1"));
      strictEqual(code, "LAP_DATA_NOT_TEXT");
      match(message, what);
      match(found, remedy);
    }
  });

  it("a single file with a NUL byte is an error that names the offset", () => {
    match(workspace.refusal("nul.txt", `${"x".repeat(100)}\0y`).message, /offset 100 is NUL/);
  });
});
