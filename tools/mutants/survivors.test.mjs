import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strykerPlugins } from "./ignore-messages.mjs";
import { confidenceInterval, isChosen, keyOf, strykerPlugins as samplePlugins } from "./sample.mjs";
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

  it("the result of a sample has its size and its interval", () => {
    const { source: text, mutants } = report.files["packages/p/dist/half.js"];
    const left = mutants.map((mutant) => ({ ...mutant, status: "CompileError" })).slice(0, 2);
    const sampled = [...mutants, ...left];
    const result = readReport(root, { files: { "packages/p/dist/half.js": { source: text, mutants: sampled } } }, []);
    match(resultText("p", result), /; a sample of 4 of 6: 95 % interval 15\.0 to 85\.0 %\n/);
    deepStrictEqual(result.survivors[0]?.key, "packages/p/dist/half.js 0:27:0:32 a x");
  });

  it("a mutant that is listed as equivalent counts neither as killed nor as a survivor", () => {
    const code = "export const half = (x: number): number => x / 2;";
    const listed = [{ file: "packages/p/src/half.ts", code, original: "x / 2", replacement: "x", reason: "an example" }];
    const { equivalent, survived, score } = readReport(root, report, listed);
    deepStrictEqual([equivalent, survived, Math.round(score)], [1, 1, 67]);
    // Another part of the line with the same replacement is another mutant.
    strictEqual(
      readReport(
        root,
        report,
        listed.map((each) => ({ ...each, original: "x" })),
      ).equivalent,
      0,
    );
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

  it("the empty default of an element is left out, and that of a variable or field is not", () => {
    /** @param {object} left @param {object} right */
    const after = (left, right) =>
      value.shouldIgnore({
        node: right,
        key: "right",
        parentPath: { node: { type: "LogicalExpression", operator: "??", left }, parentPath: null },
      });
    const empty = { type: "ArrayExpression", elements: [] };
    strictEqual(after({ type: "MemberExpression", computed: true }, empty), "the default of an element that exists");
    strictEqual(after({ type: "OptionalMemberExpression", computed: true }, empty), "the default of an element that exists");
    strictEqual(after({ type: "MemberExpression", computed: false }, empty), undefined);
    strictEqual(after({ type: "Identifier" }, empty), undefined);
    strictEqual(after({ type: "MemberExpression", computed: true }, { type: "ArrayExpression", elements: [{}] }), undefined);
    strictEqual(after({ type: "MemberExpression", computed: true }, { type: "StringLiteral" }), undefined);
  });
});

describe("samples of mutants", () => {
  const mutant = { mutatorName: "a", replacement: "x", location: { start: { line: 3, column: 4 }, end: { line: 3, column: 9 } } };

  it("a key is the same from the plugin, which counts from 0, and from the report, which counts from 1", () => {
    const location = { start: { line: 4, column: 5 }, end: { line: 4, column: 10 } };
    strictEqual(keyOf("f.js", mutant, 0), keyOf("f.js", { ...mutant, location }));
    strictEqual(keyOf("f.js", mutant, 0), "f.js 3:4:3:9 a x");
  });

  it("a sample is the same in every run with one seed, has about its share, and grows with the share", () => {
    const keys = Array.from({ length: 2000 }, (_, i) => `mutant ${i}`);
    /** @param {number} seed @param {number} share */
    const drawn = (seed, share) => keys.filter((key) => isChosen(key, { seed, share }));
    deepStrictEqual(drawn(1, 0.3), drawn(1, 0.3));
    strictEqual(Math.abs(drawn(1, 0.3).length - 600) < 80, true);
    strictEqual(drawn(2, 0.3).join() === drawn(1, 0.3).join(), false);
    const more = new Set(drawn(1, 0.3));
    strictEqual(
      drawn(1, 0.2).every((key) => more.has(key)),
      true,
    );
    deepStrictEqual([drawn(1, 0).length, drawn(1, 1).length], [0, 2000]);
    deepStrictEqual(
      keys.filter((key) => isChosen(key, { seed: 1, share: 1, keys: ["mutant 7"] })),
      ["mutant 7"],
    );
  });

  it("the interval of 85 of 100 is that of Wilson's score, and no mutants say nothing", () => {
    deepStrictEqual(
      confidenceInterval(85, 100).map((bound) => bound.toFixed(1)),
      ["76.7", "90.7"],
    );
    deepStrictEqual(confidenceInterval(0, 0), [0, 100]);
    strictEqual(confidenceInterval(10, 10)[1].toFixed(6), "100.000000");
  });

  it("the checker rejects the mutants that are not in the sample", async () => {
    const [{ factory }] = /** @type {[any]} */ (samplePlugins);
    const planted = [7, 8].map((id) => ({ ...mutant, id: String(id), fileName: join(process.cwd(), `f${id}.js`) }));
    const checker = factory({ mutantChoice: { seed: 1, share: 1, keys: ["f7.js 3:4:3:9 a x"] } });
    deepStrictEqual(await checker.group(planted), [["7", "8"]]);
    deepStrictEqual(await checker.check(planted), { 7: { status: "passed" }, 8: { status: "compileError", reason: "not in the sample" } });
  });
});
