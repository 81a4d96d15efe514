import { deepStrictEqual, match, notStrictEqual, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { datasetKey } from "../dataset/request.js";
import { Workspace } from "@lapidary/tokenizer/testing";

const unprivileged = 65_534;

/** Lists a directory as a user to which permissions apply: root may read everything. */
function refusalOf(path: string): { readonly code: string; readonly message: string; readonly remedy: string } {
  const module = fileURLToPath(new URL("list-files.js", import.meta.url));
  const script = `
    import { listCorpusFiles } from ${JSON.stringify(module)};
    try { listCorpusFiles(${JSON.stringify(path)}); console.log("{}"); } catch (error) { console.log(JSON.stringify(error)); }`;
  const asUser = process.getuid?.() === 0 ? { uid: unprivileged, gid: unprivileged } : {};
  const text = execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8", cwd: "/", ...asUser });
  return JSON.parse(text) as ReturnType<typeof refusalOf>;
}

describe("the files of a corpus", () => {
  const workspace = new Workspace();
  before(() => chmodSync(workspace.root, 0o755));
  after(() => workspace.remove());

  it("all files and directories that cannot be read are named in one error, with the ways to leave them out", () => {
    const folder = workspace.folder({ "a.txt": "alpha", "b.txt": "beta", "sub/c.txt": "gamma", "sub/d.txt": "delta", ".hidden": "x" });
    symlinkSync("b.txt", join(folder, "link.txt"));
    for (const name of ["b.txt", "sub/d.txt", ".hidden"]) chmodSync(join(folder, name), 0);
    const { code, message, remedy } = refusalOf(folder);
    strictEqual(code, "LAP_DATA_UNREADABLE");
    match(message, /cannot read 3 entries of the corpus: permission denied for b\.txt, link\.txt, sub\/d\.txt$/);
    match(remedy, /chmod -R u\+rX '.*'.*starts with a dot/);
    for (const name of ["b.txt", "link.txt", "sub/d.txt"]) renameSync(join(folder, name), join(folder, name.replace(/[^/]+$/, ".$&")));
    deepStrictEqual(refusalOf(folder), {});
    chmodSync(join(folder, "sub"), 0);
    match(refusalOf(folder).message, /cannot read 1 entry of the corpus: permission denied for sub\/$/);
    chmodSync(join(folder, "sub"), 0o755);
  });

  describe("the key of a dataset", () => {
    const keyOf = (path: string): string =>
      datasetKey({ corpus: { kind: "path", path, textField: "text" }, tokenizer: { kind: "train", vocabSize: 300 }, heldOutFraction: 0.1 });

    it("changes when another number of files is left out", () => {
      const folder = workspace.folder({ "a.txt": "alpha" });
      const before = keyOf(folder);
      writeFileSync(join(folder, ".b.txt"), "beta");
      notStrictEqual(keyOf(folder), before);
      rmSync(join(folder, ".b.txt"));
      strictEqual(keyOf(folder), before);
    });

    it("changes when a link leads to another file of the same size and time, in the directory and above it", () => {
      const blobs = workspace.folder({ "1/part": "alpha", "2/part": "gamma" });
      for (const name of ["1/part", "2/part"]) utimesSync(join(blobs, name), 1000, 1000);
      const folder = workspace.folder();
      const [part, directory] = [join(folder, "part.txt"), join(blobs, "current")];
      const keysTo = (version: string): string[] => {
        for (const link of [part, directory]) rmSync(link, { force: true });
        symlinkSync(join(blobs, version, "part"), part);
        symlinkSync(join(blobs, version), directory);
        return [keyOf(folder), keyOf(part), keyOf(directory)];
      };
      const [one, two] = [keysTo("1"), keysTo("2")];
      for (const [at, key] of one.entries()) notStrictEqual(two[at], key);
      deepStrictEqual(keysTo("1"), one);
    });
  });
});
