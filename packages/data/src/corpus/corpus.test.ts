import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { hasCode, prose, Workspace } from "../testing/workspace.js";
import { corpusSpec } from "./corpus-spec.js";
import type { Corpus } from "./document.js";
import { splitHeldOut } from "./held-out.js";
import { NearDuplicates } from "./near-duplicates.js";
import { readNodeModules } from "./node-modules.js";
import { listCorpusFiles, readPathCorpus } from "./path-corpus.js";
import { cutIntoDocuments } from "./pieces.js";
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
    deepStrictEqual(corpus.leftOut, { "long lines": 1, "not UTF-8": 1, "seen before": 1, "table of data": 1, "written by a tool": 1 });
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
    deepStrictEqual(corpus.leftOut, { binary: 1, blank: 1 });
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
    throws(() => read(workspace.folder({ "u.txt": Buffer.from("\ufefftext", "utf16le") })), hasCode("LAP_DATA_NOT_UTF8", "u.txt, byte 0"));
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

describe("cutting into documents", () => {
  it("loses nothing, splits no character, and keeps within twice the target", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("word ", "\n", "\n\n", "😀", "xxxxxxxxxxxx")).map((parts) => parts.join("")),
        fc.integer({ min: 2, max: 40 }),
        (text, target) => {
          const parts = cutIntoDocuments(text, target);
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
    ok(seen.seenShare(variant) > 0.8);
    strictEqual(seen.seenShare(seen.shingles(prose(20, 20))), 0);
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
    strictEqual(seen.seenShare(seen.shingles(prose(24, 400))), 1);
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
