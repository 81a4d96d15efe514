import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { LapidaryError } from "@lapidary/std";
import fc from "fast-check";
import { hasCode, prose, Workspace } from "@lapidary/tokenizer/testing";
import { corpusSpec } from "./corpus-spec.js";
import type { Corpus } from "./document.js";
import { splitHeldOut } from "./held-out.js";
import { NearDuplicates } from "./near-duplicates.js";
import { readNodeModules } from "./node-modules.js";
import { skippedWarning } from "./skipped-warning.js";
import { listCorpusFiles } from "./list-files.js";
import { readPathCorpus } from "./path-corpus.js";
import { splitIntoDocuments } from "./split-text.js";
import { firstInvalidByte } from "./utf8.js";

const workspace = new Workspace();
after(() => workspace.remove());

const read = (path: string, textField = "text"): Corpus => readPathCorpus(path, listCorpusFiles(path), { textField });
const sources = (corpus: Corpus): string[] => corpus.documents.map(({ source }) => source);

const mit = `The MIT License (MIT)

Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software.
`;

describe("the default corpus", () => {
  const packages = {
    "alpha/README.md": `# alpha\n\n[![badge](https://img.shields.io/x.svg)](https://x.y)\n\n${prose(1, 12)}\n[link]: https://a.b/c\n`,
    "alpha/LICENSE": mit,
    "alpha/index.d.ts": `/** Copyright 2020 X, licence MIT. */\nexport interface Options {\n${Array.from({ length: 20 }, (_, i) => `  /** ${prose(100 + i, 1).trim()} */\n  option${"abcdefghijklmnopqrst"[i]}: string;`).join("\n")}\n}\n//# sourceMappingURL=index.d.ts.map\n`,
    "@scope/beta/README.md": `# beta\r\n\r\n${prose(2, 12)}`,
    "@scope/beta/LICENSE.md": mit.replace("Somebody", "Another Person").replace(/\n(?=\S)/g, " "),
    "@scope/beta/lib/code.js": Array.from(
      { length: 12 },
      (_, i) =>
        `// ${prose(200 + i, 1).trim()}\nexport function name${"abcdefghijkl"[i]}(value) {\n  return value.${"abcdefghijkl"[i]}thing;\n}\n`,
    ).join("\n"),
    "@scope/beta/node_modules/gamma/README.md": prose(3, 12),
    "alpha/dist/alpha.min.js": "var a=1;",
    "alpha/dist/out.js": `var x = "${"y".repeat(400)}";\n${prose(9, 20).replace(/^/gm, "// ")}`,
    "alpha/dist/compiled.js": `Object.defineProperty(exports, "__esModule", { value: true });\n${prose(10, 20).replace(/^/gm, "// ")}`,
    "alpha/dist/table.js": `module.exports = {\n${Array.from({ length: 99 }, (_, i) => `  ${i * 7}: [${i}, ${i * 3}, ${i * 9}],`).join("\n")}\n};\n`,
    "alpha/dist/latin.js": Buffer.from(`// caf\xe9\n${prose(11, 20).replace(/^/gm, "// ")}`, "latin1"),
    "alpha/CHANGELOG.md": prose(12, 12),
    "alpha/README.de.md": prose(13, 12),
    ".hidden/README.md": prose(14, 12),
  };

  it("takes prose, declarations and code, and leaves out what tools wrote, tables, translations and change logs", () => {
    const corpus = readNodeModules(workspace.folder(packages), { maxBytes: 1e6 });
    deepStrictEqual(sources(corpus).toSorted(), [
      "@scope/beta/README.md",
      "@scope/beta/lib/code.js",
      "@scope/beta/node_modules/gamma/README.md",
      "alpha/LICENSE",
      "alpha/README.md",
      "alpha/index.d.ts",
    ]);
    deepStrictEqual(corpus.skipped, { "long lines": 1, "not UTF-8": 1, "seen before": 1, "table of data": 1, "written by a tool": 1 });
  });

  it("takes off badges, link lists, licence headers, source maps and carriage returns", () => {
    const corpus = readNodeModules(workspace.folder(packages), { maxBytes: 1e6 });
    const all = corpus.documents.map(({ text }) => text).join("");
    for (const gone of ["shields.io", "[link]:", "Copyright 2020 X", "sourceMappingURL", "\r"]) ok(!all.includes(gone), gone);
    ok(all.includes("# alpha") && all.includes("export interface Options"));
  });

  it("is the same for the same installation, wherever it lies", () => {
    deepStrictEqual(
      readNodeModules(workspace.folder(packages), { maxBytes: 1e6 }),
      readNodeModules(workspace.folder(packages), { maxBytes: 1e6 }),
    );
  });

  it("lets no package dominate when the bytes are few", () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`large/docs/${i}.md`, prose(1000 + i, 10)]));
    const small = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`small${i}/README.md`, prose(2000 + i, 10)]));
    const corpus = readNodeModules(workspace.folder({ ...many, ...small }), { maxBytes: 12_000 });
    ok(sources(corpus).filter((source) => source.startsWith("large")).length <= 3);
    ok(sources(corpus).filter((source) => source.startsWith("small")).length >= 5);
  });

  it("does not follow links to the project's own packages", () => {
    const folder = workspace.folder(packages);
    symlinkSync(workspace.folder({ "README.md": prose(77, 20) }), join(folder, "linked"));
    ok(!sources(readNodeModules(folder, { maxBytes: 1e6 })).some((source) => source.startsWith("linked")));
  });

  it("says when there is nothing to learn from", () => {
    throws(() => readNodeModules(workspace.folder({ "a/x.bin": "x" }), { maxBytes: 1e6 }), hasCode("LAP_DATA_EMPTY"));
    throws(() => readNodeModules(join(workspace.root, "absent"), { maxBytes: 1e6 }), hasCode("LAP_DATA_MISSING", "absent"));
  });
});

describe("a corpus of one's own", () => {
  it("cuts a text file into documents that are the file when joined", () => {
    const text = prose(4, 400);
    const corpus = read(join(workspace.folder({ "book.txt": text }), "book.txt"));
    ok(corpus.documents.length > 20);
    strictEqual(corpus.documents.map((document) => document.text).join(""), text);
    strictEqual(corpus.documents[0]?.source, "book.txt#1");
  });

  it("takes each file of a directory as a document, in an order that no locale changes, and passes over binary ones", () => {
    const folder = workspace.folder({
      "b.txt": prose(5, 8),
      "B.md": prose(6, 8),
      "sub/a.txt": prose(7, 8),
      "image.png": Buffer.from([0x89, 0, 1, 0xff]),
      "empty.txt": " \n",
      ".git/x": "x",
      "node_modules/p/y.js": "y",
    });
    const corpus = read(folder);
    deepStrictEqual(sources(corpus), ["B.md", "b.txt", "sub/a.txt"]);
    deepStrictEqual(corpus.skipped, {
      binary: 1,
      blank: 1,
      "hidden (its name begins with a dot)": 1,
      "node_modules directory": 1,
    });
  });

  it("reads JSONL, by the field that is asked for", () => {
    const lines = `{"text":"one","body":"eins"}\n\n{"text":"two\\n","body":"zwei"}`;
    const path = join(workspace.folder({ "d.jsonl": lines }), "d.jsonl");
    deepStrictEqual(
      read(path).documents.map(({ source, text }) => [source, text]),
      [
        ["d.jsonl:1", "one"],
        ["d.jsonl:3", "two\n"],
      ],
    );
    deepStrictEqual(
      read(path, "body").documents.map(({ text }) => text),
      ["eins", "zwei"],
    );
  });

  it("names file and line of a bad JSONL line", () => {
    const bad = (line: string): void =>
      throws(
        () => read(join(workspace.folder({ "d.jsonl": `{"text":"x"}\n${line}\n` }), "d.jsonl")),
        hasCode("LAP_DATA_JSONL", "d.jsonl:2"),
      );
    for (const line of ["{", "[]", "null", '"text"', '{"txt":"x"}', '{"text":3}']) bad(line);
    throws(() => read(join(workspace.folder({ "d.jsonl": '{"text":"x"}' }), "d.jsonl"), "toString"), hasCode("LAP_DATA_JSONL"));
  });

  it("names file and byte of what is not UTF-8", () => {
    const latin = Buffer.from("caf\xe9 au lait", "latin1");
    throws(() => read(join(workspace.folder({ "l.txt": latin }), "l.txt")), hasCode("LAP_DATA_NOT_UTF8", "byte 3"));
    throws(() => read(workspace.folder({ "a.txt": "fine", "sub/l.txt": latin })), hasCode("LAP_DATA_NOT_UTF8", "l.txt, byte 3"));
    const lines = Buffer.concat([Buffer.from('{"text":"x"}\n{"text":"'), latin, Buffer.from('"}\n')]);
    throws(() => read(join(workspace.folder({ "d.jsonl": lines }), "d.jsonl")), hasCode("LAP_DATA_NOT_UTF8", `byte ${13 + 9 + 3}`));
  });

  it("finds the first byte that is no UTF-8 where a decoder stumbles", () => {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...Buffer.from("aé€😀")), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }),
        (array) => {
          const bytes = Uint8Array.from(array);
          const at = firstInvalidByte(bytes);
          decoder.decode(bytes.subarray(0, at));
          if (at < bytes.length)
            for (let end = at + 1; end <= Math.min(at + 4, bytes.length); end++) throws(() => decoder.decode(bytes.subarray(0, end)));
        },
      ),
    );
  });

  it("says when there is no text, no file, or only a near one", () => {
    throws(() => read(join(workspace.folder({ "e.txt": "" }), "e.txt")), hasCode("LAP_DATA_EMPTY", "e.txt"));
    throws(() => read(join(workspace.folder({ "e.jsonl": "\n" }), "e.jsonl")), hasCode("LAP_DATA_EMPTY"));
    throws(() => read(workspace.folder()), hasCode("LAP_DATA_EMPTY"));
    throws(() => read("/dev/null"), hasCode("LAP_DATA_UNREADABLE", "/dev/null"));
    throws(
      () => read(join(workspace.folder({ "poems.txt": "x" }), "peoms.txt")),
      (error) => hasCode("LAP_DATA_MISSING", "peoms.txt")(error) && String((error as { remedy?: string }).remedy).includes("poems.txt"),
    );
  });

  it("is told from the default corpus by its name alone", () => {
    strictEqual(corpusSpec("node_modules", { projectRoot: "/p" }).kind, "node_modules");
    deepStrictEqual(corpusSpec("./node_modules", { projectRoot: "/p" }), { kind: "path", path: "/p/node_modules", textField: "text" });
    deepStrictEqual(corpusSpec("a.jsonl", { projectRoot: "/p", base: "/q", textField: "body" }), {
      kind: "path",
      path: "/q/a.jsonl",
      textField: "body",
    });
  });
});

describe("files as people have them", () => {
  const lone = (name: string, content: string | Uint8Array): Corpus => read(join(workspace.folder({ [name]: content }), name));
  const texts = (corpus: Corpus): string[] => corpus.documents.map(({ text }) => text);
  const refusal = (name: string, content: string | Uint8Array): LapidaryError => {
    try {
      lone(name, content);
    } catch (error) {
      ok(error instanceof LapidaryError, String(error));
      return error;
    }
    throw new Error(`${name} was read`);
  };

  it("reads UTF-16 with a byte order mark, and UTF-8 without its mark", () => {
    for (const [name, bytes] of [
      ["le.txt", Buffer.from("\ufeffGrüße 😀", "utf16le")],
      ["be.txt", Buffer.from("\ufeffGrüße 😀", "utf16le").swap16()],
      ["utf8.txt", Buffer.from("\ufeffGrüße 😀")],
    ] as const)
      deepStrictEqual(texts(lone(name, bytes)), ["Grüße 😀"], name);
  });

  it("names UTF-16 without a mark and UTF-32, with the iconv that converts them", () => {
    const long = prose(30, 10);
    match(refusal("le.txt", Buffer.from(long, "utf16le")).remedy, /iconv -f UTF-16LE/);
    match(refusal("be.txt", Buffer.from(long, "utf16le").swap16()).remedy, /iconv -f UTF-16BE/);
    match(refusal("u32.txt", Buffer.from([0xff, 0xfe, 0, 0, 0x61, 0, 0, 0])).remedy, /iconv -f UTF-32/);
  });

  it("advises iconv with an 8-bit encoding only where the bytes look like 8-bit text", () => {
    const text = prose(31, 10);
    match(refusal("latin.txt", Buffer.from(`caf\xe9 ${text}`, "latin1")).remedy, /iconv -f LATIN1 /);
    match(refusal("windows.txt", Buffer.from(`\x93quoted\x94 ${text}`, "latin1")).remedy, /iconv -f WINDOWS-1252 /);
    const noise = Buffer.from(Array.from({ length: 4000 }, (_, i) => 1 + ((i * 7919) % 254)));
    ok(!/LATIN1|WINDOWS/.test(refusal("noise.txt", noise).remedy));
  });

  it("advises no 8-bit encoding for UTF-8 that was cut off or damaged", () => {
    const text = `${"Grüße ".repeat(20)}${prose(31, 10)}`;
    for (const [name, bytes] of [
      ["cut.txt", Buffer.concat([Buffer.from(text), Buffer.from([0xc3])])],
      ["damaged.txt", Buffer.concat([Buffer.from(text), Buffer.from([0xff]), Buffer.from(text)])],
    ] as const) {
      const { remedy } = refusal(name, bytes);
      match(remedy, /iconv -c -f UTF-8 /, name);
      ok(!/LATIN1|WINDOWS/.test(remedy), name);
    }
  });

  it("advises to convert what a packed file holds, not its packed bytes", () => {
    const { remedy } = refusal("l.txt.gz", gzipSync(Buffer.from(`caf\xe9 ${prose(31, 10)}`, "latin1")));
    match(remedy, /gunzip -c < '.*l\.txt\.gz' \| iconv -f LATIN1 -t UTF-8/);
  });

  it("names what people take for text by mistake: pointers, tables, JSON values, pickles, UTF-32 without a mark", () => {
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
      const found = refusal(name, typeof content === "string" ? Buffer.from(content, "latin1") : content);
      strictEqual(found.code, "LAP_DATA_NOT_TEXT", name);
      match(found.message, what);
      match(found.remedy, remedy);
    }
    strictEqual(
      texts(lone("name.txt", `BZhang wrote ${prose(33, 4)}`))
        .join("")
        .slice(0, 12),
      "BZhang wrote",
    );
  });

  it("reads gzip as if it were unpacked: text, JSON lines, several members", () => {
    const text = prose(32, 100);
    deepStrictEqual(texts(lone("book.txt.gz", gzipSync(text))), texts(lone("book.txt", text)));
    deepStrictEqual(texts(lone("named-otherwise", gzipSync(text))).join(""), text);
    deepStrictEqual(texts(lone("d.jsonl.gz", gzipSync('{"text":"one"}\n{"text":"two"}\n'))), ["one", "two"]);
    const members = Buffer.concat([gzipSync('{"text":"one"}\n'), gzipSync('{"text":"two"}\n')]);
    deepStrictEqual(texts(lone("m.jsonl.gz", members)), ["one", "two"]);
    deepStrictEqual(sources(read(workspace.folder({ "a.txt.gz": gzipSync("alpha"), "b.txt": "beta" }))), ["a.txt.gz", "b.txt"]);
  });

  it("reports gzip that is cut off or damaged, and what is packed inside of it", () => {
    const packed = gzipSync(prose(33, 100));
    strictEqual(refusal("cut.gz", packed.subarray(0, packed.length - 20)).code, "LAP_DATA_ARCHIVE");
    const damaged = Buffer.from(packed);
    damaged[damaged.length - 6] = (damaged[damaged.length - 6] ?? 0) ^ 1;
    strictEqual(refusal("damaged.gz", damaged).code, "LAP_DATA_ARCHIVE");
    const tar = Buffer.alloc(1024);
    tar.write("ustar", 257, "latin1");
    match(refusal("d.tar.gz", gzipSync(tar)).message, /tar archive/);
  });

  it("names archives, tables and documents by their first bytes, with what makes text of them", () => {
    for (const [bytes, what, remedy] of [
      ["\xfd7zXZ\0", /xz archive/, /unxz/],
      ["BZh91AY", /bzip2/, /bunzip2/],
      ["PK\x03\x04", /zip archive/, /unzip/],
      ["7z\xbc\xaf\x27\x1c", /7-Zip/, /7z x/],
      ["PAR1", /Parquet/, /to_json/],
      ["%PDF-1.7", /PDF/, /pdftotext/],
      ["SQLite format 3\0", /SQLite/, /sqlite3/],
    ] as const) {
      const { code, message, remedy: told } = refusal("x.txt", Buffer.from(`${bytes} and more`, "latin1"));
      strictEqual(code, "LAP_DATA_NOT_TEXT");
      match(message, what);
      match(told, remedy);
    }
  });

  it("warns of what training misses, and not of names that are never part of a corpus", () => {
    const spec = (folder: string) => corpusSpec(folder, { projectRoot: "/" });
    const harmless = workspace.folder({ "a.txt": prose(34, 4), ".git/x": "x", "node_modules/p/y.js": "y" });
    strictEqual(skippedWarning(spec(harmless), read(harmless).skipped), undefined);
    const folder = workspace.folder({ "a.txt": prose(34, 4), "b.pdf": "%PDF-1.7", "c.bin": "x\0y", ".git/x": "x" });
    symlinkSync("nowhere", join(folder, "d.txt"));
    const warning = skippedWarning(spec(folder), read(folder).skipped);
    strictEqual(warning?.code, "LAP_DATA_LEFT_OUT");
    match(warning.message, /^3 entries .*1 a PDF document, 1 binary, 1 dangling link$/);
  });

  it("says of an empty directory what was left out of it, and of a link where it leads", () => {
    throws(() => read(workspace.folder({ "b.pdf": "%PDF-1.7", ".x": "x" })), /skipped: 1 a PDF document, 1 hidden/);
    const folder = workspace.folder();
    symlinkSync("nowhere", join(folder, "d.txt"));
    throws(() => read(join(folder, "d.txt")), /is a link to nowhere/);
  });

  it("leaves such files of a directory out, by number and reason", () => {
    const corpus = read(
      workspace.folder({ "a.txt": "alpha", "b.xz": Buffer.from("\xfd7zXZ\0....", "latin1"), "c.pdf": "%PDF-1.7", "d.bin": "x\0y" }),
    );
    deepStrictEqual([sources(corpus), corpus.skipped], [["a.txt"], { "a PDF document": 1, "an xz archive": 1, binary: 1 }]);
  });

  it("refuses a lone file with a NUL byte, and says where it is", () => {
    match(refusal("nul.txt", `${"x".repeat(100)}\0y`).message, /offset 100 is NUL/);
  });

  it("reads JSON lines and arrays under another name, where their objects hold the text", () => {
    const lines = '{"text":"one"}\n{"text":"two"}\n';
    for (const name of ["d.json", "d.txt", "d"]) deepStrictEqual(texts(lone(name, lines)), ["one", "two"], name);
    deepStrictEqual(texts(lone("array.json", JSON.stringify([{ text: "one" }, { text: "two" }], null, 2))), ["one", "two"]);
    deepStrictEqual(texts(lone("crlf.jsonl", '\ufeff{"text":"one"}\r\n\r\n{"text":"two"}\r\n')), ["one", "two"]);
    deepStrictEqual(sources(read(workspace.folder({ "a.json": lines, "package.json": '{"name":"x"}', "b.txt": "{ not JSON }" }))), [
      "a.json:1",
      "a.json:2",
      "b.txt",
      "package.json",
    ]);
    match(refusal("pretty.jsonl", '{\n  "text": "one"\n}\n').message, /over several lines/);
  });

  it("names the field that seems to hold the text, by the key of the job file", () => {
    const line = (object: object): string => `${JSON.stringify(object)}\n`;
    match(refusal("a.jsonl", line({ id: "3", content: "Hello there" })).remedy, /`data\.text_field: content`/);
    match(refusal("b.jsonl", line({ url: "u", essay: "A long text of one's own" })).remedy, /`data\.text_field: essay`/);
    match(refusal("c.jsonl", line({ id: "3 4", meta: { text: "inside" } })).remedy, /inside `meta`.*`data\.text_field: meta\.text`/);
    match(refusal("f.jsonl", '{"text":"one"},\n').message, /ends with a comma/);
    match(refusal("g.jsonl", '[{"text":"one"}]\n').remedy, /jq -c '\.\[\]'/);
    match(refusal("d.jsonl", line({ text: null })).message, /has null in `text`/);
    const chat = refusal("chat.jsonl", line({ messages: [{ role: "user", content: "Hi" }] }));
    match(chat.message, /conversation in `messages`/);
    match(refusal("text.jsonl", line({ text: [{ from: "human", value: "Hi" }] })).message, /conversation in `text`/);
    for (const { remedy } of [chat, refusal("e.jsonl", "3\n")]) ok(!/textField/.test(remedy));
  });

  it("reads a field inside of a field, unless a field has the whole name", () => {
    const lines = '{"meta":{"text":"inner"}}\n{"meta.text":"outer","meta":{"text":"inner"}}\n';
    deepStrictEqual(
      read(join(workspace.folder({ "n.jsonl": lines }), "n.jsonl"), "meta.text").documents.map(({ text }) => text),
      ["inner", "outer"],
    );
  });

  it("says what a path that names no file was perhaps meant to be", () => {
    const remedy = (path: string): string => {
      try {
        read(path);
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

describe("links in a corpus", () => {
  it("reads files and directories that links lead to, each once, and ends in a circle", () => {
    const blobs = workspace.folder({ one: prose(40, 8), two: prose(41, 8), "more/three": prose(42, 8) });
    const folder = workspace.folder({ "own.txt": prose(43, 8) });
    symlinkSync(join(blobs, "one"), join(folder, "a.txt"));
    symlinkSync(join(blobs, "one"), join(folder, "b.txt"));
    symlinkSync(join(blobs, "more"), join(folder, "more"));
    symlinkSync(folder, join(folder, "self"));
    symlinkSync(join(blobs, "absent"), join(folder, "dangling"));
    symlinkSync("loop", join(folder, "loop"));
    symlinkSync("own.txt", join(folder, "z.txt"));
    const corpus = read(folder);
    deepStrictEqual(sources(corpus), ["a.txt", "more/three", "own.txt"]);
    deepStrictEqual(corpus.skipped, {
      "another link to a directory that was read": 1,
      "another link to a file that was read": 2,
      "dangling link": 2,
    });
  });

  it("follows links that git has written as files, where the file system has none", () => {
    const folder = workspace.folder({ "blobs/0": prose(44, 8), "snapshot/part-0.txt": "../blobs/0", "snapshot/note.txt": "../nowhere/0" });
    deepStrictEqual(
      read(join(folder, "snapshot")).documents.map(({ source, text }) => [source, text.length > 100]),
      [
        ["note.txt", false],
        ["part-0.txt", true],
      ],
    );
  });

  it("opens no pipe", function () {
    const folder = workspace.folder({ "a.txt": "alpha" });
    execFileSync("mkfifo", [join(folder, "pipe")]);
    deepStrictEqual(read(folder).skipped, { "not a regular file": 1 });
    throws(() => read(join(folder, "pipe")), hasCode("LAP_DATA_UNREADABLE"));
  });

  it("says what a directory holds instead of files", () => {
    const folder = workspace.folder({ ".hidden": "x" });
    symlinkSync("nowhere", join(folder, "gone"));
    throws(() => read(folder), /no files \(skipped: 1 dangling link, 1 hidden/);
  });
});

describe("cutting into documents", () => {
  it("looks at each character a few times, whatever separator is absent", () => {
    for (const unit of ["word ", "word\n", "word\r\n", "word\r", "word", "\n", " ", "word word word\n\n"]) {
      const text = unit.repeat(Math.ceil(400_000 / unit.length));
      let looked = 0;
      const counting = new Proxy(Object(text) as object, {
        get: (_, key) => {
          if (key === "length") return text.length;
          if (key === "charCodeAt") return (at: number) => text.charCodeAt(at);
          if (key === "indexOf")
            return (what: string, from = 0) => {
              const at = text.indexOf(what, from);
              looked += (at < 0 ? text.length : at) - from;
              return at;
            };
          if (key === "slice")
            return (from: number, to = text.length) => {
              looked += to - from;
              return text.slice(from, to);
            };
          return undefined;
        },
      }) as unknown as string;
      strictEqual(splitIntoDocuments(counting, 1000).join(""), text);
      ok(looked <= 3 * text.length, `${JSON.stringify(unit)}: ${looked} of ${text.length}`);
    }
  });

  it("cuts Windows' empty lines as it cuts others", () => {
    const paragraphs = Array.from({ length: 60 }, (_, i) =>
      prose(500 + i, 4)
        .trim()
        .replaceAll("\n", " "),
    );
    const cut = (separator: string): string[] => splitIntoDocuments(paragraphs.join(separator), 400).map((part) => part.trim());
    deepStrictEqual(cut("\r\n\r\n").map((part) => part.replaceAll("\r", "")).length > 5, true);
    ok(cut("\r\n\r\n").every((part) => part.endsWith(".")));
  });

  it("loses nothing, splits no character, and keeps within twice the target", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("word ", "\n", "\n\n", "😀", "xxxxxxxxxxxx")).map((parts) => parts.join("")),
        fc.integer({ min: 2, max: 40 }),
        (text, target) => {
          const parts = splitIntoDocuments(text, target);
          strictEqual(parts.join(""), text);
          for (const part of parts) ok(part.length > 0 && part.length <= 2 * target && Buffer.from(part).toString() === part);
        },
      ),
    );
  });
});

describe("near-duplicates", () => {
  const index = (): NearDuplicates => new NearDuplicates(1e6);

  it("sees through wrapping, case and a changed name, and takes other prose as new", () => {
    const seen = index();
    seen.add(seen.shingles(mit));
    const variant = seen.shingles(mit.replace("Somebody", "E. L. Se").replace(/\s+/g, " ").toUpperCase());
    ok(seen.seenFraction(variant) > 0.8);
    strictEqual(seen.seenFraction(seen.shingles(prose(20, 20))), 0);
  });

  it("puts texts that share a part into one group, through a third one too", () => {
    const seen = index();
    const [a, b, c] = [prose(21, 10), prose(22, 10), prose(23, 10)];
    const numbers = [a, b, c, `${a}${b}`].map((text) => seen.add(seen.shingles(text)));
    deepStrictEqual(
      numbers.map((number) => seen.group(number)),
      [0, 0, 2, 0],
    );
  });

  it("finds copies even when only a sample of the shingles is kept", () => {
    const seen = new NearDuplicates(1e8);
    seen.add(seen.shingles(prose(24, 400)));
    strictEqual(seen.seenFraction(seen.shingles(prose(24, 400))), 1);
  });
});

describe("the held-out split", () => {
  const corpus = Array.from({ length: 60 }, (_, i) => ({ source: `${i}`, text: prose(300 + i, 5), group: i - (i % 3) }));

  it("takes every document to one side, groups whole, about as much as asked", () => {
    const { train, heldout } = splitHeldOut(corpus, 0.2, "x");
    deepStrictEqual(
      [...train, ...heldout].map(({ source }) => Number(source)).toSorted((a, b) => a - b),
      corpus.map((_, i) => i),
    );
    const groups = new Set(train.map(({ group }) => group));
    ok(heldout.every(({ group }) => !groups.has(group)));
    ok(heldout.length >= 9 && heldout.length <= 18);
  });

  it("depends on what the documents say, not on their order", () => {
    deepStrictEqual(splitHeldOut(corpus.toReversed(), 0.2, "x"), splitHeldOut(corpus, 0.2, "x"));
  });

  it("keeps copies together, and takes a corpus that is one group apart by document", () => {
    const copies = corpus.slice(0, 10).flatMap((document) => [
      { ...document, group: 0 },
      { ...document, source: `copy of ${document.source}`, group: 0 },
    ]);
    const { train, heldout } = splitHeldOut(copies, 0.2, "x");
    const texts = new Set(train.map(({ text }) => text));
    ok(heldout.length > 0 && heldout.every(({ text }) => !texts.has(text)));
  });

  it("takes apart more equal documents than a call has arguments", () => {
    const equal = Array.from({ length: 300_000 }, (_, i) => ({ source: `${i}`, text: i % 2 === 0 ? "yes" : "no", group: 0 }));
    const { train, heldout } = splitHeldOut(equal, 0.5, "x");
    strictEqual(train.length, 150_000);
    strictEqual(heldout.length, 150_000);
  });

  it("says when there is nothing to take apart", () => {
    throws(
      () =>
        splitHeldOut(
          [
            { source: "a", text: "x", group: 0 },
            { source: "b", text: "x", group: 1 },
          ].slice(0, 1),
          0.1,
          "place",
        ),
      hasCode("LAP_DATA_TOO_SMALL", "place"),
    );
  });
});
