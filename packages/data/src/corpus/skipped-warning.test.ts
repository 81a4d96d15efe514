import { match, strictEqual } from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { Workspace } from "@lapidary/tokenizer/testing";
import { readCorpus } from "../testing/read-corpus.js";
import { prose } from "@lapidary/std/testing";
import { corpusSpec } from "./corpus-spec.js";
import { skippedWarning } from "./skipped-warning.js";

const workspace = new Workspace();
after(() => workspace.remove());

describe("the warning about skipped files", () => {
  it("a warning lists files that are skipped unexpectedly, but no hidden or installed files", () => {
    const spec = (folder: string) => corpusSpec(folder, { projectRoot: "/" });
    const harmless = workspace.folder({ "a.txt": prose(34, 4), ".git/x": "x", "node_modules/p/y.js": "y" });
    strictEqual(skippedWarning(spec(harmless), readCorpus(harmless).skipped), undefined);
    const folder = workspace.folder({ "a.txt": prose(34, 4), "b.pdf": "%PDF-1.7", "c.bin": "x\0y", ".git/x": "x" });
    symlinkSync("nowhere", join(folder, "d.txt"));
    const warning = skippedWarning(spec(folder), readCorpus(folder).skipped);
    strictEqual(warning?.code, "LAP_DATA_LEFT_OUT");
    match(warning.message, /^3 entries .*1 a PDF document, 1 binary, 1 dangling link$/);
  });
});
