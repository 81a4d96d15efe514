import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, requireCompiler } from "./compiler.mjs";
import { Report } from "./report.mjs";
import { Session, projectRoot } from "./session.mjs";

describe("the C++ compiler of the set-up", function () {
  this.timeout(60_000);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-compiler-"));
  after(() => rmSync(directory, { recursive: true }));

  it("sources that include the headers share one parse of them, and nothing but the module remains", async () => {
    const session = new Session({ root: projectRoot, report: new Report({ quiet: true }) });
    const compiler = await requireCompiler(session);
    const file = (/** @type {string} */ name, /** @type {string} */ text) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    file("large.h", "#pragma once\ninline int Large() { return 1; }\n");
    const sources = [
      file("a.cc", '#include "large.h"\nint A() { return Large(); }\n'),
      file("b.cc", '#include "large.h"\nint B() { return Large(); }\n'),
      file("c.cc", "int C() { return 3; }\n"),
    ];
    // Notes each call, and whether the parsed headers exist at that time.
    const parsed = join(directory, "module.node.headers.h.gch");
    const wrapper = file(
      "c++",
      `#!/bin/sh\necho "$([ -s ${parsed} ] && echo parsed) $*" >> ${directory}/calls\nexec ${compiler.command} "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    const output = join(directory, "module.node");
    const libraries = { directory, names: [], runPath: directory };
    const what = {
      label: "test",
      compiler: { ...compiler, command: wrapper },
      sources,
      includes: [directory],
      defines: [],
      libraries,
      output,
    };
    await compile(session, { ...what, headers: ["large.h"] });
    const calls = readFileSync(join(directory, "calls"), "utf8").trim().split("\n");
    const ofSource = (/** @type {string} */ name) => calls.find((call) => call.includes(`-c ${join(directory, name)}`)) ?? "";
    assert.equal(calls.filter((call) => call.includes("c++-header")).length, 1);
    for (const name of ["a.cc", "b.cc"]) assert.match(ofSource(name), /^parsed .* -include \S+\.headers\.h /);
    assert.doesNotMatch(ofSource("c.cc"), /-include/);
    assert.ok(existsSync(output));
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith("module.")),
      ["module.node"],
    );
  });
});
