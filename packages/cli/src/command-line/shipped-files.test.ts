import { deepStrictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withShippedFiles } from "./shipped-files.js";

describe("shipped files", () => {
  const directory = mkdtempSync(join(tmpdir(), "lapidary-shipped-"));
  const [cwd, root] = [join(directory, "cwd"), join(directory, "root")];
  const write = (path: string): void => {
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, "");
  };

  before(() => {
    for (const path of [join(root, "configs/jobs/a.yaml"), join(root, "configs/b.yaml"), join(cwd, "configs/b.yaml")]) write(path);
  });
  after(() => rmSync(directory, { recursive: true }));

  it("a word configs/… is the file of the working directory, then the shipped one, and otherwise stays", () => {
    deepStrictEqual(
      withShippedFiles(
        ["launch", "configs/jobs/a.yaml", "configs/b.yaml", "configs/none.yaml", "jobs/a.yaml", "x=configs/jobs/a.yaml"],
        cwd,
        root,
      ),
      ["launch", join(root, "configs/jobs/a.yaml"), "configs/b.yaml", "configs/none.yaml", "jobs/a.yaml", "x=configs/jobs/a.yaml"],
    );
  });
});
