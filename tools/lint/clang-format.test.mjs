import { deepEqual, equal, match, ok } from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../setup/session.mjs";
import { clangFormat, cppFiles } from "./clang-format.mjs";

describe("the check of the C++ format", () => {
  const root = mkdtempSync(join(tmpdir(), "lapidary-format-"));
  after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "packages/one/cpp/part"), { recursive: true });
  writeFileSync(join(root, "packages/one/package.json"), "{}");
  copyFileSync(join(projectRoot, ".clang-format"), join(root, ".clang-format"));
  const write = (/** @type {string} */ name, /** @type {string} */ text) => writeFileSync(join(root, "packages/one/cpp", name), text);
  write("part/formatted.h", "#pragma once\n\ninline int Twice(int x) { return 2 * x; }\n");
  write("other.cc", "int  main( ){return 0 ;}\n");
  write("table.generated.h", "int  x ;\n");

  it("the check covers the C++ files of every package except those that the build writes", () => {
    deepEqual(cppFiles(root), ["packages/one/cpp/other.cc", "packages/one/cpp/part/formatted.h"]);
    ok(cppFiles(projectRoot).includes("packages/native/cpp/kernels/elementwise.h"));
  });

  it("the check names the lines of another format, and formats them on demand", () => {
    const before = clangFormat(root, cppFiles(root), { write: false });
    equal(before.ok, false);
    match(before.output, /other\.cc:1:/);
    ok(!before.output.includes("formatted.h"), before.output);
    equal(clangFormat(root, cppFiles(root), { write: true }).ok, true);
    equal(readFileSync(join(root, "packages/one/cpp/other.cc"), "utf8"), "int main() { return 0; }\n");
    deepEqual(clangFormat(root, cppFiles(root), { write: false }), { ok: true, output: "" });
  });
});
