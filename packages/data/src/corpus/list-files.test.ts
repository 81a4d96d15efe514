import { deepStrictEqual, match, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasCode, Workspace } from "@lapidary/tokenizer/testing";
import { datasetKey } from "../dataset/request.js";
import { prose } from "@lapidary/std/testing";
import { readCorpus, sourcesOf } from "../testing/read-corpus.js";

const unprivileged = 65_534;

/** Lists a directory as an unprivileged user, because root may read every file. */
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

  it("one error names all unreadable files and directories, and how to exclude them", () => {
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

    it("the key changes with the number of skipped files", () => {
      const folder = workspace.folder({ "a.txt": "alpha" });
      const before = keyOf(folder);
      writeFileSync(join(folder, ".b.txt"), "beta");
      notStrictEqual(keyOf(folder), before);
      rmSync(join(folder, ".b.txt"));
      strictEqual(keyOf(folder), before);
    });

    it("the key changes if a link gets another target of the same size and time, inside the corpus or as its path", () => {
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

describe("links in a corpus", () => {
  const workspace = new Workspace();
  after(() => workspace.remove());

  it("each target of links is read once, and a cycle of links ends", () => {
    const blobs = workspace.folder({ one: prose(40, 8), two: prose(41, 8), "more/three": prose(42, 8) });
    const folder = workspace.folder({ "own.txt": prose(43, 8) });
    symlinkSync(join(blobs, "one"), join(folder, "a.txt"));
    symlinkSync(join(blobs, "one"), join(folder, "b.txt"));
    symlinkSync(join(blobs, "more"), join(folder, "more"));
    symlinkSync(folder, join(folder, "self"));
    symlinkSync(join(blobs, "absent"), join(folder, "dangling"));
    symlinkSync("loop", join(folder, "loop"));
    symlinkSync("own.txt", join(folder, "z.txt"));
    const corpus = readCorpus(folder);
    deepStrictEqual(sourcesOf(corpus), ["a.txt", "more/three", "own.txt"]);
    deepStrictEqual(corpus.skipped, {
      "another link to a directory that was read": 1,
      "another link to a file that was read": 2,
      "dangling link": 2,
    });
  });

  it("a link that git stored as a file is followed", () => {
    const folder = workspace.folder({ "blobs/0": prose(44, 8), "snapshot/part-0.txt": "../blobs/0", "snapshot/note.txt": "../nowhere/0" });
    deepStrictEqual(
      readCorpus(join(folder, "snapshot")).documents.map(({ source, text }) => [source, text.length > 100]),
      [
        ["note.txt", false],
        ["part-0.txt", true],
      ],
    );
  });

  it("a pipe is never opened", function () {
    const folder = workspace.folder({ "a.txt": "alpha" });
    execFileSync("mkfifo", [join(folder, "pipe")]);
    deepStrictEqual(readCorpus(folder).skipped, { "not a regular file": 1 });
    throws(() => readCorpus(join(folder, "pipe")), hasCode("LAP_DATA_UNREADABLE"));
  });

  it("the error of a directory without files lists its dangling links and hidden files", () => {
    const folder = workspace.folder({ ".hidden": "x" });
    symlinkSync("nowhere", join(folder, "gone"));
    throws(() => readCorpus(folder), /no files \(skipped: 1 dangling link, 1 hidden/);
  });
});
