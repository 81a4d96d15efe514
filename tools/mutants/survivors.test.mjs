import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strykerPlugins } from "./ignore-messages.mjs";
import { readReport, resultText } from "./survivors.mjs";

const source = "export const half = (x) => x / 2;\n";
const typed = "/** A comment. */\nexport const half = (x: number): number => x / 2;\n";
// Line 1 of the built file is line 2 of the source: `AACA` is column 0 of the next line.
const map = { version: 3, sources: ["../src/half.ts"], names: [], mappings: "AACA,uBAAuB" };

/** @param {number} from @param {number} to */
const at = (from, to) => ({ start: { line: 1, column: from }, end: { line: 1, column: to } });

describe("survivors of mutation testing", () => {
  const root = mkdtempSync(join(tmpdir(), "survivors-"));
  after(() => rmSync(root, { recursive: true }));
  before(() => {
    for (const directory of ["src", "dist"]) mkdirSync(join(root, "packages/p", directory), { recursive: true });
    writeFileSync(join(root, "packages/p/src/half.ts"), typed);
    writeFileSync(join(root, "packages/p/dist/half.js.map"), JSON.stringify(map));
  });
  const report = {
    files: {
      "packages/p/dist/half.js": {
        source,
        mutants: [
          { mutatorName: "a", status: "Killed", replacement: "x * 2", location: at(28, 33) },
          { mutatorName: "a", status: "Timeout", replacement: "x - 2", location: at(28, 33) },
          { mutatorName: "a", status: "Survived", replacement: "x", location: at(28, 33) },
          { mutatorName: "a", status: "NoCoverage", replacement: "() => undefined", location: at(21, 33) },
          { mutatorName: "a", status: "Ignored", replacement: "", location: at(1, 2) },
        ],
      },
    },
  };

  it("the score counts survivors and what no test runs, and each has its place in the source", () => {
    const result = readReport(root, report, []);
    deepStrictEqual([result.killed, result.survived, result.ignored, result.score], [2, 2, 1, 50]);
    deepStrictEqual(
      result.survivors.map(({ file, line, original, replacement }) => [file, line, original, replacement]),
      [
        ["packages/p/src/half.ts", 2, "x / 2", "x"],
        ["packages/p/src/half.ts", 2, "(x) => x / 2", "() => undefined"],
      ],
    );
    match(
      resultText("p", result),
      /^p: 50\.0 % of 4 mutants killed; 0 equivalent, 1 not run\npackages\/p\/src\/half\.ts:2\n {4}- x \/ 2\n/,
    );
  });

  it("a mutant that is listed as equivalent counts neither as killed nor as a survivor", () => {
    const code = "export const half = (x: number): number => x / 2;";
    const listed = [{ file: "packages/p/src/half.ts", code, replacement: "x", reason: "an example" }];
    const { equivalent, survived, score } = readReport(root, report, listed);
    deepStrictEqual([equivalent, survived, Math.round(score)], [1, 1, 67]);
  });
});

describe("texts without mutants", () => {
  const [{ value }] = /** @type {[any]} */ (strykerPlugins);
  /** @param {object} call @param {object} node @param {number} key */
  const inCall = (call, node, key) => value.shouldIgnore({ node, listKey: "arguments", key, parentPath: { node: call, parentPath: null } });
  const call = (/** @type {string} */ type, /** @type {string} */ name) => ({ type, callee: { type: "Identifier", name } });
  const text = { type: "StringLiteral" };

  it("the message of an assertion and the text of an error are left out; conditions and fields are not", () => {
    strictEqual(inCall(call("CallExpression", "assert"), text, 1), "the message of assert");
    strictEqual(inCall(call("NewExpression", "ShapeError"), text, 1), "the text of ShapeError");
    strictEqual(inCall(call("CallExpression", "assert"), text, 0), undefined);
    strictEqual(inCall(call("NewExpression", "ShapeError"), { type: "ObjectExpression" }, 0), undefined);
    strictEqual(inCall(call("CallExpression", "print"), text, 1), undefined);
  });
});
