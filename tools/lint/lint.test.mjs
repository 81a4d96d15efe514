import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { checks } from "./lint.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const configuration = [
  "biome.json",
  "knip.json",
  "cspell.json",
  ".dependency-cruiser.mjs",
  "tsconfig.base.json",
  "tools/lint/module-state.grit",
];

/**
 * A project of two packages, `low` (layer 0) and `high` (layer 1, depends on low), under the lint configuration of this project.
 * @param {Record<string, string>} files path → text
 */
function makeProject(files) {
  const project = mkdtempSync(join(tmpdir(), "lapidary-lint-"));
  /** @param {string} path @param {unknown} content */
  const write = (path, content) => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    writeFileSync(join(project, path), typeof content === "string" ? content : `${JSON.stringify(content, undefined, 2)}\n`);
  };
  for (const path of configuration) cpSync(join(root, path), join(project, path));
  write("package.json", { name: "lapidary", private: true, type: "module", workspaces: ["packages/*"], dependencies: {} });
  for (const [layer, name] of ["low", "high"].entries()) {
    write(`packages/${name}/project.json`, { tags: [`layer:${layer}`] });
    write(`packages/${name}/package.json`, {
      name: `@lapidary/${name}`,
      type: "module",
      exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } },
      dependencies: layer === 0 ? {} : { "@lapidary/low": "*" },
    });
    write(`packages/${name}/tsconfig.json`, {
      extends: "../../tsconfig.base.json",
      compilerOptions: { rootDir: "src", outDir: "dist" },
      include: ["src"],
    });
    write(`packages/${name}/dist/index.js`, "");
    write(`packages/${name}/dist/index.d.ts`, "");
  }
  for (const [path, text] of Object.entries(files)) write(path, text);
  linkModules(project);
  return project;
}

/** @param {string} project gets node_modules: the tools of this project, and its own two packages */
function linkModules(project) {
  mkdirSync(join(project, "node_modules/@lapidary"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules")))
    if (name !== "@lapidary" && name !== ".bin") symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
  for (const name of ["low", "high"]) symlinkSync(join(project, "packages", name), join(project, "node_modules/@lapidary", name));
}

/** @param {string} project @param {string} tool the first word of a check's name */
function outputOf(project, tool) {
  const check = checks.find(({ name }) => name.startsWith(tool));
  assert.ok(check !== undefined, tool);
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, "node_modules", check.script), ...check.args], {
    cwd: project,
    encoding: "utf8",
  });
  return { output: stdout + stderr, status };
}

const overlong = `export function overlong(): number {\n  let sum = 0;\n${"  sum += 1;\n".repeat(70)}  return sum;\n}\n`;
const many =
  "export function many(a: number, b: number, c: number, d: number, e: number, f: number, g: number): number {\n  return a + b + c + d + e + f + g;\n}\n";

/** A planted mistake → the tool that finds it, and the message. */
const mistakes = [
  {
    title: "an import circle, also of types alone",
    files: {
      "packages/low/src/a.ts": 'import type { B } from "./b.js";\n\nexport interface A {\n  readonly b: B;\n}\n',
      "packages/low/src/b.ts": 'import type { A } from "./a.js";\n\nexport interface B {\n  readonly a: A;\n}\n',
    },
    tool: "biome",
    says: /packages\/low\/src\/a\.ts.*noImportCycles/,
  },
  {
    title: "a function of more than 70 lines",
    files: { "packages/low/src/a.ts": overlong },
    tool: "biome",
    says: /noExcessiveLinesPerFunction/,
  },
  { title: "a seventh parameter", files: { "packages/low/src/a.ts": many }, tool: "biome", says: /useMaxParams/ },
  {
    title: "a floating promise",
    files: { "packages/low/src/a.ts": "async function work(): Promise<void> {}\n\nexport function start(): void {\n  work();\n}\n" },
    tool: "biome",
    says: /noFloatingPromises/,
  },
  {
    title: "an empty catch",
    files: { "packages/low/src/a.ts": "export function f(g: () => void): void {\n  try {\n    g();\n  } catch {}\n}\n" },
    tool: "biome",
    says: /noEmptyBlockStatements/,
  },
  {
    title: "any, a non-null assertion, a default export and @ts-ignore",
    files: {
      "packages/low/src/a.ts": "// @ts-ignore\nexport const a = (0 as any) as number;\nexport const b = [1][0]!;\nexport default b;\n",
    },
    tool: "biome",
    says: /noTsIgnore[\s\S]*noExplicitAny[\s\S]*noNonNullAssertion[\s\S]*noDefaultExport/,
  },
  {
    title: "a test that runs alone, and a skipped one",
    files: { "packages/low/src/a.test.ts": 'it.only("a", () => undefined);\ndescribe.skip("b", () => undefined);\n' },
    tool: "biome",
    says: /noFocusedTests[\s\S]*noSkippedTests/,
  },
  { title: "a module-level let", files: { "packages/low/src/a.ts": "export let state = 0;\n" }, tool: "biome", says: /module-level let/ },
  {
    title: "the environment read below the command line",
    files: { "packages/low/src/a.ts": "export const home = process.env.HOME;\n" },
    tool: "biome",
    says: /noProcessEnv/,
  },
  {
    title: "an import that package.json does not name",
    files: { "packages/high/src/a.ts": 'import { z } from "zod";\n\nexport const b = z;\n' },
    tool: "biome",
    says: /noUndeclaredDependencies/,
  },
  ...[
    'import { a } from "@lapidary/high";\nexport { a };\n',
    'import "@lapidary/high";\n',
    'export type { A } from "@lapidary/high";\n',
    'export const later = import("@lapidary/high");\n',
    'export type B = import("@lapidary/high").B;\n',
  ].map((text, i) => ({
    title: `an upward import: ${text.split("\n")[0]}`,
    files: { [`packages/low/src/upward-${i}.ts`]: text },
    tool: "dependency-cruiser",
    says: new RegExp(`layer-low: packages/low/src/upward-${i}\\.ts → packages/high`),
  })),
  {
    title: "a relative import that leaves its package",
    files: { "packages/high/src/leaves.ts": 'export { b } from "../../low/src/b.js";\n', "packages/low/src/b.ts": "export const b = 1;\n" },
    tool: "dependency-cruiser",
    says: /relative-import-leaves-package: packages\/high\/src\/leaves\.ts → packages\/low\/src\/b\.ts/,
  },
  ...[
    { name: "cli", file: "src/a.ts", text: 'export { a } from "@lapidary/low";\n' },
    { name: "dashboard", file: "src/a.ts", text: 'export { a } from "@lapidary/low";\n' },
    {
      name: "dashboard",
      file: "src/A.svelte",
      text: '<script lang="ts">\n  import { a } from "@lapidary/low";\n</script>\n\n<p>{a}</p>\n',
    },
  ].map(({ name, file, text }) => ({
    title: `an import of ${name} that bypasses the API, in ${file}`,
    files: {
      [`packages/${name}/project.json`]: '{ "tags": ["layer:1"] }\n',
      [`packages/${name}/package.json`]: `{ "name": "@lapidary/${name}", "type": "module", "dependencies": { "@lapidary/low": "*" } }\n`,
      [`packages/${name}/${file}`]: text,
    },
    tool: "dependency-cruiser",
    says: new RegExp(`interface-${name}: packages/${name}/${file} → packages/low`),
  })),
  {
    title: "ioredis outside control",
    files: { "packages/low/src/redis.ts": 'export { Redis } from "ioredis";\n' },
    tool: "dependency-cruiser",
    says: /only-control: packages\/low\/src\/redis\.ts → /,
  },
  {
    title: "test support in what ships",
    files: {
      "packages/low/src/ships.ts": 'export { b } from "./testing/b.js";\n',
      "packages/low/src/testing/b.ts": "export const b = 1;\n",
    },
    tool: "dependency-cruiser",
    says: /test-support-in-product: packages\/low\/src\/ships\.ts → packages\/low\/src\/testing\/b\.ts/,
  },
  {
    title: "an unused export",
    files: {
      "packages/low/src/index.ts": 'export { used } from "./a.js";\n',
      "packages/low/src/a.ts": "export const used = 1;\nexport const unused = 2;\n",
    },
    tool: "knip",
    says: /packages\/low\/src\/a\.ts.*unused/,
  },
  {
    title: "an unused file",
    files: { "packages/low/src/index.ts": "export {};\n", "packages/low/src/alone.ts": "export {};\n" },
    tool: "knip",
    says: /packages\/low\/src\/alone\.ts/,
  },
  {
    title: "a glossary word, also inside an identifier",
    files: { "packages/low/src/a.ts": "/** The yard of a test. */\nexport const copyDoors = 1;\n" },
    tool: "cspell",
    says: /a\.ts:1:\d+ - Forbidden word \(yard\)[\s\S]*a\.ts:2:\d+ - Forbidden word \(Doors\)/,
  },
];

describe("the lint", function () {
  this.timeout(120_000);

  /** @param {Record<string, string>} files @param {string} tool */
  function reportOn(files, tool) {
    const project = makeProject(files);
    try {
      return outputOf(project, tool);
    } finally {
      rmSync(project, { recursive: true });
    }
  }

  for (const { title, files, tool, says } of mistakes.filter((mistake) => mistake.tool !== "dependency-cruiser"))
    it(`${tool} reports ${title}`, () => {
      const { output, status } = reportOn(files, tool);
      assert.match(output, says);
      assert.notEqual(status, 0);
    });

  describe("dependency-cruiser, on one project with all mistakes, because its start takes most of its time", () => {
    const planted = mistakes.filter(({ tool }) => tool === "dependency-cruiser");
    /** @type {{ output: string, status: number | null }} */
    let report;
    before(() => {
      report = reportOn(Object.assign({}, ...planted.map(({ files }) => files)), "dependency-cruiser");
    });

    for (const { title, says } of planted) it(`dependency-cruiser reports ${title}`, () => assert.match(report.output, says));

    it("dependency-cruiser fails, and reports nothing but the planted mistakes", () => {
      assert.notEqual(report.status, 0);
      // The project does not declare the libraries that its files import.
      const found = report.output.split("\n").filter((line) => / → /.test(line) && !line.includes("undeclared-dependency"));
      assert.equal(found.length, planted.length, report.output);
    });
  });

  it("every tool accepts a project without mistakes", () => {
    const project = makeProject({
      "packages/low/src/index.ts": "/** The answer. */\nexport const answer = 42;\n",
      "packages/high/src/main.ts": 'import { answer } from "@lapidary/low";\n\nprocess.stdout.write(`${answer} ${process.env.HOME}\\n`);\n',
      "packages/high/src/index.test.ts": 'it("adds", () => undefined);\n',
      "tools/script.test.mjs": "let count = 0;\ncount += 1;\nprocess.stdout.write(`${count}\\n`);\n",
    });
    try {
      for (const tool of ["biome", "dependency-cruiser", "knip", "cspell"]) {
        const { output, status } = outputOf(project, tool);
        assert.equal(status, 0, output);
      }
    } finally {
      rmSync(project, { recursive: true });
    }
  });
});
