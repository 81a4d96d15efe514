import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import { sourcesOf } from "../testing/read-corpus.js";
import { prose } from "@lapidary/std/testing";
import { mitLicense } from "../testing/texts.js";
import { readNodeModules } from "./node-modules.js";

const workspace = new Workspace();
after(() => workspace.remove());

describe("the default corpus", () => {
  const packages = {
    "alpha/README.md": `# alpha\n\n[![badge](https://img.shields.io/x.svg)](https://x.y)\n\n${prose(1, 12)}\n[link]: https://a.b/c\n`,
    "alpha/LICENSE": mitLicense,
    "alpha/index.d.ts": `/** Copyright 2020 X, licence MIT. */\nexport interface Options {\n${Array.from({ length: 20 }, (_, i) => `  /** ${prose(100 + i, 1).trim()} */\n  option${"abcdefghijklmnopqrst"[i]}: string;`).join("\n")}\n}\n//# sourceMappingURL=index.d.ts.map\n`,
    "@scope/beta/README.md": `# beta\r\n\r\n${prose(2, 12)}`,
    "@scope/beta/LICENSE.md": mitLicense.replace("Somebody", "Another Person").replace(/\n(?=\S)/g, " "),
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

  it("the default corpus contains prose, declarations and code, but no generated files, tables, translations or change logs", () => {
    const corpus = readNodeModules(workspace.folder(packages), { maxBytes: 1e6 });
    deepStrictEqual(sourcesOf(corpus).toSorted(), [
      "@scope/beta/README.md",
      "@scope/beta/lib/code.js",
      "@scope/beta/node_modules/gamma/README.md",
      "alpha/LICENSE",
      "alpha/README.md",
      "alpha/index.d.ts",
    ]);
    deepStrictEqual(corpus.skipped, { "long lines": 1, "not UTF-8": 1, "seen before": 1, "table of data": 1, "written by a tool": 1 });
  });

  it("cleaning removes badges, link lists, licence headers, source maps and carriage returns", () => {
    const corpus = readNodeModules(workspace.folder(packages), { maxBytes: 1e6 });
    const all = corpus.documents.map(({ text }) => text).join("");
    for (const gone of ["shields.io", "[link]:", "Copyright 2020 X", "sourceMappingURL", "\r"]) ok(!all.includes(gone), gone);
    ok(all.includes("# alpha") && all.includes("export interface Options"));
  });

  it("two equal installations in different directories have the same default corpus", () => {
    deepStrictEqual(
      readNodeModules(workspace.folder(packages), { maxBytes: 1e6 }),
      readNodeModules(workspace.folder(packages), { maxBytes: 1e6 }),
    );
  });

  it("no package dominates a default corpus with a small size limit", () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`large/docs/${i}.md`, prose(1000 + i, 10)]));
    const small = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`small${i}/README.md`, prose(2000 + i, 10)]));
    const corpus = readNodeModules(workspace.folder({ ...many, ...small }), { maxBytes: 12_000 });
    ok(sourcesOf(corpus).filter((source) => source.startsWith("large")).length <= 3);
    ok(sourcesOf(corpus).filter((source) => source.startsWith("small")).length >= 5);
  });

  it("the default corpus does not include packages that are links", () => {
    const folder = workspace.folder(packages);
    symlinkSync(workspace.folder({ "README.md": prose(77, 20) }), join(folder, "linked"));
    ok(!sourcesOf(readNodeModules(folder, { maxBytes: 1e6 })).some((source) => source.startsWith("linked")));
  });

  it("a node_modules directory without suitable text, or a missing one, is an error", () => {
    throws(() => readNodeModules(workspace.folder({ "a/x.bin": "x" }), { maxBytes: 1e6 }), hasCode("LAP_DATA_EMPTY"));
    throws(() => readNodeModules(join(workspace.root, "absent"), { maxBytes: 1e6 }), hasCode("LAP_DATA_MISSING", "absent"));
  });
});
