import { deepEqual, equal, match, ok } from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { requireCompiler } from "../setup/compiler.mjs";
import { compileKernels, kernelsPath } from "../setup/kernels.mjs";
import { opcodesPath, writeOpcodes } from "../setup/opcodes.mjs";
import { Report } from "../setup/report.mjs";
import { Session, projectRoot } from "../setup/session.mjs";
import { ScratchProject, editsOf } from "./scratch-project.mjs";

const edits = editsOf(readFileSync(join(projectRoot, "CONTRIBUTING.md"), "utf8"), "Add an op");
const op = "logistic";

describe("the example of CONTRIBUTING that adds an op", function () {
  this.timeout(300_000);
  /** @type {ScratchProject} */
  let scratch;
  /** @type {Session} */
  let session;
  before(() => {
    scratch = new ScratchProject(projectRoot, ["executor", "interop", "native"]);
    session = new Session({ root: scratch.root, report: new Report({ quiet: true }) });
  });
  after(() => scratch.clear());

  /** @param {readonly string[]} args */
  const node = (args) => session.run(process.execPath, args);
  const hasKernels = existsSync(kernelsPath(projectRoot));

  /** The first complaint of the two compilers, or an empty text. */
  async function complaint() {
    const types = await node([
      join(projectRoot, "node_modules/@typescript/native/bin/tsc"),
      "-b",
      "--pretty",
      "false",
      ...[...scratch.packages].map((name) => `packages/${name}`),
    ]);
    if (types.code !== 0) return types.tail;
    await writeOpcodes(session);
    const { command, args } = await requireCompiler(session);
    const header = join(dirname(opcodesPath(scratch.root)), "elementwise.h");
    const formulas = await session.run(command, [...args, "-std=c++17", "-march=native", "-w", "-fsyntax-only", "-x", "c++", header]);
    return formulas.code === 0 ? "" : formulas.tail;
  }

  it("the example names the definition, the kernel, the formula and the values of the op, and no other file", () => {
    deepEqual(
      [...new Set(edits.map(({ path }) => path))],
      [
        "packages/ir/src/ops/unary.ts",
        "packages/executor/src/kernels/elementwise.ts",
        "packages/native/cpp/kernels/elementwise.h",
        "packages/ir/src/ops/values.test.ts",
      ],
    );
  });

  it("the example compiles, and does not compile without any one of its edits", async () => {
    for (const left of edits) {
      scratch.apply(edits.filter((edit) => edit !== left));
      match(await complaint(), new RegExp(op, "i"), `without the edit of ${left.path}:\n${left.after}`);
    }
    scratch.apply(edits);
    equal(await complaint(), "");
  });

  it("the op of the example prints, parses, is partitioned and differentiated, runs fused and unfused, and is exported", async () => {
    scratch.apply(edits);
    equal(await complaint(), "");
    if (hasKernels) await compileKernels(session, await requireCompiler(session), kernelsPath(scratch.root), "-O1");
    const { code, stdout, tail } = await node([fileURLToPath(new URL("try-op.mjs", import.meta.url)), op]);
    equal(code, 0, tail);
    const found = JSON.parse(stdout);
    match(found.text, new RegExp(`= ${op} %\\d+ : f32\\[8,12\\]`));
    ok(found.isParsed, "the text of the graph is parsed to the same graph");
    deepEqual(found.chipDims, [[4, 6]]);
    ok(found.chipDifference <= 1e-12, `per-chip programs differ by ${found.chipDifference}`);
    ok(found.gradientError <= 1e-7, `the gradient is wrong by ${found.gradientError}`);
    equal(found.unfused.fusedCalls, 0);
    ok(found.unfused.difference <= 1e-6, `kernels differ by ${found.unfused.difference}`);
    equal(found.fused.hasFused, hasKernels);
    equal(found.fused.fusedCalls > 0, hasKernels);
    ok(found.fused.difference <= 1e-6, `fused kernels differ by ${found.fused.difference}`);
    for (const text of found.stablehlo) match(text, /stablehlo\.logistic %\w+ : tensor<\d+x\d+xf32>/);
  });

  it("the tests of the project cover the op of the example without another edit", async () => {
    const files = [
      "ir/dist/ops/values.test.js",
      "executor/dist/kernels/kernels.test.js",
      "executor/dist/fusion/fused-kernels.test.js",
      "native/dist/opcodes.test.js",
      "compiler/dist/differentiate/op-gradients.test.js",
      "compiler/dist/testing/random-graph.test.js",
    ].map((file) => `packages/${file}`);
    const { code, stdout, tail } = await node([
      join(projectRoot, "node_modules/mocha/bin/mocha.js"),
      "--require",
      join(projectRoot, "tools/test/seed.mjs"),
      "--reporter",
      "json",
      "--grep",
      `\\b${op}\\b|opcodes|contain every op`,
      ...files,
    ]);
    ok(stdout.includes("{\n"), tail);
    const { passes, failures } = JSON.parse(stdout.slice(stdout.indexOf("{\n")));
    deepEqual(failures, []);
    equal(code, 0, tail);
    const titles = passes.map((/** @type {{ title: string }} */ { title }) => title);
    deepEqual(
      titles.filter((/** @type {string} */ title) => title.includes(op)).sort(),
      [
        `${op} computes the numbers of example 1`,
        `the kernel computes ${op} as the interpreter does`,
        `the kernel computes ${op} as the interpreter does`,
        `a fused kernel computes ${op} as the interpreter does, for any length of a row`,
        `the gradient of ${op} equals central differences in every element`,
        `the gradient of ${op} of a scalar equals central differences in every element`,
      ].sort(),
    );
    ok(titles.includes("random graphs contain every op, in every form of its attributes"));
  });
});
