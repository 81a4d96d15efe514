import { equal, match } from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireCompiler } from "./compiler.mjs";
import { kernels, kernelsPath, plainLibraries, warningsOf } from "./kernels.mjs";
import { Report } from "./report.mjs";
import { Session, projectRoot } from "./session.mjs";

const sessionOf = (/** @type {string} */ root) => new Session({ root, report: new Report({ quiet: true }) });
// Where the set-up could not compile the kernels, TensorFlow's headers may be missing.
const libraries = existsSync(kernelsPath(projectRoot)) ? [kernels, ...plainLibraries] : plainLibraries;

describe("the native libraries", function () {
  this.timeout(300_000);

  for (const library of libraries)
    it(`a library compiles without warnings: ${library.directory}`, async () => {
      const session = sessionOf(projectRoot);
      equal(await warningsOf(session, await requireCompiler(session), library), "");
    });

  it("a warning in any header of a library is reported", async () => {
    const root = mkdtempSync(join(tmpdir(), "lapidary-warnings-"));
    try {
      cpSync(join(projectRoot, "packages/native/cpp"), join(root, "packages/native/cpp"), { recursive: true });
      symlinkSync(join(projectRoot, "node_modules"), join(root, "node_modules"));
      writeFileSync(join(root, "packages/native/cpp/disk/task.h"), "#pragma once\ninline int Unused(int x) { int y; return 0; }\n");
      const session = sessionOf(root);
      const [, disk] = plainLibraries;
      if (disk === undefined) throw new Error("there is no disk library");
      match(await warningsOf(session, await requireCompiler(session), disk), /task\.h:2:.*unused/);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
