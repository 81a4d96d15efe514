import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { errorCodes, isErrorCode } from "@lapidary/std";
import { expectText } from "@lapidary/std/testing";
import { projectRoot } from "../setup/session.mjs";
import { codeUses, errorsPage, filesBelow, pythonFailures, unregistered, unused, usesIn } from "./error-codes.mjs";

describe("the codes of errors and warnings", () => {
  const uses = codeUses(projectRoot);

  it("every code in the sources is in the registry", () => {
    assert.ok(uses.length > 800, `${uses.length} uses were found`);
    assert.deepEqual(
      unregistered(uses).map(({ file, line, code }) => `${file}:${line} ${code}`),
      [],
    );
  });

  it("a program throws or prints every code of the registry", () => {
    assert.deepEqual(unused(uses), []);
  });

  it("a code is found at its line, and a prefix counts if a code begins with it", () => {
    const text = `a\nthrow ${"LAP"}_JOB_UNKNOWN; ${"LAP"}_NO_SUCH\n${"LAP"}_FILE_… ${"LAP"}_NONE_… NOT_${"LAP"}_A`;
    const found = usesIn("a.ts", text);
    assert.deepEqual(
      found.map(({ line }) => line),
      [2, 2, 3, 3],
    );
    assert.deepEqual(
      unregistered(found).map(({ code }) => code.slice(4)),
      ["NO_SUCH", "NONE_"],
    );
  });

  it("the Python programs use the exit codes of the registry", () => {
    const files = filesBelow(projectRoot, "packages/interop/assets").filter((file) => file.endsWith(".py"));
    const failures = files.flatMap((file) =>
      pythonFailures(readFileSync(join(projectRoot, file), "utf8")).map((each) => ({ file, ...each })),
    );
    assert.ok(failures.length > 25, `${failures.length} failures were found`);
    assert.deepEqual(
      failures.filter(({ code, exit }) => !isErrorCode(code) || errorCodes[code].exit !== exit),
      [],
    );
  });

  it("docs/errors.md lists every code", () => {
    expectText(errorsPage(), join(projectRoot, "docs/errors.md"));
  });
});
