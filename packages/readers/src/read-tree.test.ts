import { deepStrictEqual } from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { temporaryDirectory } from "@lapidary/std/testing";
import { type AccountCounts, mergeAccounts } from "@lapidary/data-store";
import { readTree } from "./read-tree.js";
import { jsonl, numbered, readPath } from "./testing/read.js";

describe("trees of files", () => {
  const directory = temporaryDirectory();

  it("a tree is read file by file in a fixed order, each by its name, with an account for each", async () => {
    const files: Readonly<Record<string, string | Uint8Array>> = {
      "src/b.py": "def f(x):\n    return x\n",
      "src/a.ts.gz": gzipSync("export const a = 1;\n"),
      "docs/page.html": "<p>A page.</p>",
      "rows.jsonl": `${jsonl(numbered(2))}no json\n`,
      "picture.bin": Buffer.from([0x41, 0x42, 0, 0x43]),
      "latin.txt": Buffer.from("caf\xe9", "latin1"),
      "empty.txt": "",
      "archive.tar.gz": gzipSync(Buffer.from("\x89PNG and more", "latin1")),
      ".git/config": "hidden",
      "node_modules/x/index.js": "skipped",
    };
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory(), file)), { recursive: true });
      writeFileSync(join(directory(), file), content);
    }
    const accounts = new Map<string, AccountCounts>();
    const found: string[][] = [];
    for await (const { file, text, mediaType } of readTree({
      root: directory(),
      source: "code",
      onFile: (file, counts) => accounts.set(file, counts),
    }))
      found.push([file, text, mediaType]);
    deepStrictEqual(found, [
      ["docs/page.html", "<p>A page.</p>", "text/html"],
      ["rows.jsonl", "text of a document 1", "text/plain"],
      ["rows.jsonl", "text of a document 2", "text/plain"],
      ["src/a.ts.gz", "export const a = 1;\n", "text/plain"],
      ["src/b.py", "def f(x):\n    return x\n", "text/plain"],
    ]);
    deepStrictEqual(
      [...accounts.keys()],
      ["archive.tar.gz", "docs/page.html", "empty.txt", "latin.txt", "picture.bin", "rows.jsonl", "src/a.ts.gz", "src/b.py"],
    );
    const { in: entered, out, dropped, errors } = mergeAccounts([...accounts.values()], "tree");
    deepStrictEqual(
      { entered, out, dropped },
      { entered: 9, out: 5, dropped: { "bad JSON": 1, "empty text": 1, "not UTF-8": 1, "not text": 1 } },
    );
    deepStrictEqual(errors, [{ file: "archive.tar.gz", reason: "not text: a PNG picture" }]);
  });

  it("a file that cannot be opened is an error of that file", async () => {
    for (const file of ["none.jsonl", "none.parquet", "none.txt.gz"]) {
      const { counts, error } = await readPath({ path: join(directory(), file), file, source: "test" });
      deepStrictEqual([counts.in, error], [0, "unreadable: ENOENT"]);
    }
  });
});
