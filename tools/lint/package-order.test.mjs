import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { lintPackages } from "./package-order.mjs";

/**
 * A project of two packages, `low` (layer 0) and `high` (layer 1, depends on low), with the given source files.
 * @param {Record<string, string>} sources path below packages/ → text
 */
function problemsOf(sources) {
  const root = mkdtempSync(join(tmpdir(), "lapidary-lint-"));
  /** @param {string} path @param {unknown} content */
  const write = (path, content) => {
    const file = join(root, "packages", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  };
  for (const [layer, name] of ["low", "high", "worker"].entries()) {
    write(`${name}/project.json`, { tags: [`layer:${layer}`] });
    write(`${name}/package.json`, { dependencies: layer === 0 ? {} : { "@lapidary/low": "*", zod: "1" } });
    write(`${name}/tsconfig.json`, { references: layer === 0 ? [] : [{ path: "../low" }] });
  }
  for (const [path, text] of Object.entries(sources)) write(path, text);
  try {
    return lintPackages(root).map(({ file, line, rule }) => `${file.replace("packages/", "")}:${line} ${rule}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe("the package lint", () => {
  it("lets a package import what lies below it and what it declares", () => {
    const text =
      'import { a } from "@lapidary/low";\nimport { z } from "zod";\nimport { b } from "./b.js";\nimport fs from "node:fs";\nexport { a, z, b, fs };\n';
    assert.deepEqual(problemsOf({ "high/src/a.ts": text }), []);
  });

  it("finds an import against the order, in every form of import", () => {
    const forms = [
      'import { a } from "@lapidary/high";',
      'import "@lapidary/high";',
      'import type { A } from "@lapidary/high";',
      'export * from "@lapidary/high";',
      'const later = import("@lapidary/high");',
      'type B = import("@lapidary/high").B;',
      'const place = import.meta.resolve("@lapidary/high");',
    ];
    const expected = forms.map((_, index) => `low/src/a.ts:${index + 1} package-order`);
    assert.deepEqual(problemsOf({ "low/src/a.ts": forms.join("\n") }), expected);
  });

  it("is not misled by comments and strings", () => {
    assert.deepEqual(
      problemsOf({
        "low/src/a.ts": '// import "@lapidary/high"\n/* it.only( as any */\nexport const text = \'import "@lapidary/high"; it.skip(\';\n',
      }),
      [],
    );
  });

  it("lets only the worker import tfjs, and only control ioredis and bullmq", () => {
    const tfjs = 'import * as tf from "@tensorflow/tfjs-node-gpu/dist/index.js";\nexport { tf };\n';
    assert.deepEqual(problemsOf({ "high/src/a.ts": tfjs, "high/src/b.ts": 'import "bullmq";' }), [
      "high/src/a.ts:1 package-order",
      "high/src/b.ts:1 package-order",
    ]);
  });

  it("finds a dependency that package.json declares against the order", () => {
    const manifest = JSON.stringify({ dependencies: { "@lapidary/high": "*", ioredis: "1" } });
    assert.deepEqual(problemsOf({ "low/package.json": manifest }), [
      "low/package.json:1 package-order",
      "low/package.json:1 package-order",
    ]);
  });

  it("finds a reference of tsconfig.json against the order", () => {
    assert.deepEqual(problemsOf({ "low/tsconfig.json": JSON.stringify({ references: [{ path: "../high" }] }) }), [
      "low/tsconfig.json:1 package-order",
    ]);
  });

  it("finds an import that nothing declares, and one that leaves the package", () => {
    const text = 'import "yaml";\nimport "../../low/src/a.js";\n';
    assert.deepEqual(problemsOf({ "high/src/a.ts": text }), ["high/src/a.ts:1 package-order", "high/src/a.ts:2 package-order"]);
  });

  it("finds a package without a layer", () => {
    assert.deepEqual(problemsOf({ "low/project.json": "{}" })[0], "low/project.json:1 package-order");
  });

  it("finds what the house does not do", () => {
    const text = [
      "export const a = (0 as any) as number;",
      "export const b = [1][0]!;",
      "// @ts-ignore",
      "let state = 0;",
      "export const home = process.env.HOME;",
      "export default state;",
    ].join("\n");
    const rules = ["no-any", "no-non-null", "no-module-state", "no-environment", "no-default-export", "ts-ignore"];
    assert.deepEqual(
      problemsOf({ "low/src/a.ts": text }).map((found) => found.split(" ")[1]),
      rules,
    );
    const partial = 'it.only("a", () => undefined);\ndescribe.skip("b", () => undefined);\n';
    assert.deepEqual(problemsOf({ "low/src/a.test.ts": partial }), [
      "low/src/a.test.ts:1 no-partial-tests",
      "low/src/a.test.ts:2 no-partial-tests",
    ]);
  });

  it("lets main.ts and tests read the environment", () => {
    const text = "export const home = process.env.HOME;\n";
    assert.deepEqual(problemsOf({ "low/src/main.ts": text, "low/src/a.test.ts": text }), []);
  });
});
