/**
 * The order of the packages, and the habits that a reader relies on, checked on the syntax of every source file.
 *
 * - A package imports from packages of a lower layer only (`layer:N` in its project.json, the tags that nx knows), names them in its
 *   package.json, and refers to them in its tsconfig.json; no relative import leaves a package (control, coordinator and cli may look into tools/setup).
 * - Only packages/worker uses tfjs; only packages/control uses ioredis and bullmq.
 * - No `any`, no `!`, no default export, no `@ts-ignore`, no `.only(`, no `.skip(`, no module-level `let`, no environment below the
 *   cli except where a process begins (`main.ts`).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
import ts from "typescript";

/** @typedef {{ readonly file: string, readonly line: number, readonly rule: string, readonly message: string }} Problem */
/** @typedef {{ readonly name: string, readonly directory: string, readonly layer: number, readonly dependencies: readonly string[], readonly buildDependencies: readonly string[] }} Package */

const soleImporters = [
  { pattern: /^@tensorflow\//, owner: "worker" },
  { pattern: /^(ioredis|bullmq)(\/|$)/, owner: "control" },
];
/** May look into tools/setup, which runs before the build and imports no package. */
const setupImporters = ["std", "api", "control", "cluster", "coordinator", "cli"];
/** What any test may import: the development tools of the root. */
const testLibraries = ["mocha", "fast-check"];
/** Reads the environment by design: the switch that rewrites snapshots. */
const environmentReaders = ["packages/std/src/expect-text.ts"];

/**
 * @param {string} root
 * @returns {Problem[]}
 */
export function lintPackages(root) {
  /** @type {Problem[]} */
  const problems = [];
  const packages = readPackages(root, problems);
  for (const each of packages.values()) {
    checkManifest(root, packages, each, problems);
    for (const file of sourceFiles(each.directory)) checkFile(root, packages, each, file, problems);
  }
  return problems;
}

/**
 * @param {string} root
 * @param {Problem[]} problems
 * @returns {Map<string, Package>}
 */
function readPackages(root, problems) {
  /** @type {Map<string, Package>} */
  const packages = new Map();
  for (const name of readdirSync(join(root, "packages"))) {
    const directory = join(root, "packages", name);
    if (!existsSync(join(directory, "package.json"))) continue;
    const project = join(directory, "project.json");
    /** @type {string[]} */
    const tags = existsSync(project) ? (JSON.parse(readFileSync(project, "utf8")).tags ?? []) : [];
    const layer = Number(tags.find((tag) => tag.startsWith("layer:"))?.slice("layer:".length) ?? Number.NaN);
    if (Number.isNaN(layer))
      problems.push({ file: relative(root, project), line: 1, rule: "package-order", message: "has no tag layer:N" });
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
    packages.set(name, {
      name,
      directory,
      layer,
      dependencies: Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies }),
      // What only the build needs: a page is built into files that stand alone.
      buildDependencies: Object.keys(manifest.devDependencies ?? {}),
    });
  }
  return packages;
}

/** @param {string} directory */
function sourceFiles(directory) {
  return ["src", "bin"].flatMap((part) => {
    const place = join(directory, part);
    if (!existsSync(place)) return [];
    return readdirSync(place, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|tsx|mts|js|mjs)$/.test(name) && !name.split(sep).includes("node_modules"))
      .map((name) => join(place, name))
      .sort();
  });
}

/**
 * @param {string} root
 * @param {Map<string, Package>} packages
 * @param {Package} each
 * @param {Problem[]} problems
 */
function checkManifest(root, packages, each, problems) {
  const file = join(each.directory, "package.json");
  /** @param {string} path @param {string} message */
  const complain = (path, message) => problems.push({ file: relative(root, path), line: 1, rule: "package-order", message });
  for (const dependency of each.dependencies) {
    const fault = faultOf(packages, each, dependency);
    if (fault !== undefined) complain(file, `depends on ${dependency}: ${fault}`);
  }
  const config = join(each.directory, "tsconfig.json");
  if (!existsSync(config)) complain(config, "does not exist");
  for (const { path } of existsSync(config) ? (JSON.parse(readFileSync(config, "utf8")).references ?? []) : []) {
    const target = packages.get(relative(join(root, "packages"), resolve(each.directory, path)));
    if (target === undefined || !(target.layer < each.layer)) complain(config, `refers to ${path}, which does not lie below ${each.name}`);
  }
}

/**
 * Why `each` may not import `specifier` (an npm name), or undefined if it may.
 * @param {Map<string, Package>} packages
 * @param {Package} each
 * @param {string} specifier
 * @returns {string | undefined}
 */
function faultOf(packages, each, specifier) {
  const sole = soleImporters.find(({ pattern }) => pattern.test(specifier));
  if (sole !== undefined && sole.owner !== each.name) return `only packages/${sole.owner} may`;
  const sibling = /^@lapidary\/([^/]+)/.exec(specifier)?.[1];
  if (sibling === undefined) return undefined;
  const target = packages.get(sibling);
  if (target === undefined) return "there is no such package";
  return target.layer < each.layer ? undefined : `${sibling} (layer ${target.layer}) does not lie below ${each.name} (layer ${each.layer})`;
}

/**
 * @param {string} root
 * @param {Map<string, Package>} packages
 * @param {Package} each
 * @param {string} file
 * @param {Problem[]} problems
 */
function checkFile(root, packages, each, file, problems) {
  const text = readFileSync(file, "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  // What lies in testing/ is only imported by tests.
  const isTest = /\.test\.tsx?$|\/testing\//.test(file);
  const place = relative(root, file);
  const readsEnvironment = each.name === "cli" || isTest || /(^|[/.-])main\.ts$/.test(file) || environmentReaders.includes(place);
  /** @param {number} position @param {string} rule @param {string} message */
  const complain = (position, rule, message) =>
    problems.push({ file: place, line: source.getLineAndCharacterOfPosition(position).line + 1, rule, message });

  /** @param {ts.Node} at @param {string} specifier */
  const checkImport = (at, specifier) => {
    const fault = importFault(root, packages, each, file, specifier, isTest);
    if (fault !== undefined) complain(at.getStart(source), "package-order", `imports ${specifier}: ${fault}`);
  };

  /** @param {ts.Node} node */
  const visit = (node) => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) checkImport(node, specifier);
    const habit = brokenHabit(node, source, readsEnvironment);
    if (habit !== undefined) complain(node.getStart(source), habit.rule, habit.message);
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const found of text.matchAll(/^\s*(?:\/\/|\/?\*+)\s*@ts-(?:ignore|nocheck)\b/gm))
    complain(found.index + found[0].search(/\S/), "ts-ignore", "hides errors from the compiler");
}

/**
 * @param {ts.Node} node
 * @returns {string | undefined}
 */
function specifierOf(node) {
  if (
    (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
    node.moduleSpecifier !== undefined &&
    ts.isStringLiteral(node.moduleSpecifier)
  ) {
    return node.moduleSpecifier.text;
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal))
    return node.argument.literal.text;
  if (!ts.isCallExpression(node)) return undefined;
  const [argument] = node.arguments;
  if (argument === undefined || !ts.isStringLiteralLike(argument)) return undefined;
  const callee = node.expression;
  const imports = callee.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(callee) && callee.text === "require");
  const resolves =
    ts.isPropertyAccessExpression(callee) &&
    callee.name.text === "resolve" &&
    ["import.meta", "require"].includes(callee.expression.getText());
  return imports || resolves ? argument.text : undefined;
}

/**
 * @param {string} root
 * @param {Map<string, Package>} packages
 * @param {Package} each
 * @param {string} file
 * @param {string} specifier
 * @param {boolean} isTest
 * @returns {string | undefined}
 */
function importFault(root, packages, each, file, specifier, isTest) {
  if (specifier.startsWith(".")) {
    const target = resolve(dirname(file), specifier);
    const inside = target.startsWith(each.directory + sep);
    const setup = setupImporters.includes(each.name) && target.startsWith(join(root, "tools/setup") + sep);
    return inside || setup ? undefined : "leaves the package";
  }
  if (specifier.startsWith("node:")) return undefined;
  if (builtinModules.includes(specifier)) return `write node:${specifier}`;
  const name = specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : (specifier.split("/")[0] ?? specifier);
  const fault = faultOf(packages, each, name);
  if (fault !== undefined) return fault;
  const known =
    each.dependencies.includes(name) ||
    each.buildDependencies.includes(name) ||
    name === `@lapidary/${each.name}` ||
    (isTest && testLibraries.includes(name));
  return known ? undefined : `is not among the dependencies in packages/${each.name}/package.json`;
}

/**
 * @param {ts.Node} node
 * @param {ts.SourceFile} source
 * @param {boolean} readsEnvironment
 * @returns {{ rule: string, message: string } | undefined}
 */
function brokenHabit(node, source, readsEnvironment) {
  if (node.kind === ts.SyntaxKind.AnyKeyword) return { rule: "no-any", message: "any switches the types off; unknown does not" };
  if (ts.isNonNullExpression(node)) return { rule: "no-non-null", message: "! asserts without looking; use must() of std" };
  if (
    ts.isExportAssignment(node) ||
    (ts.canHaveModifiers(node) && ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword))
  ) {
    return { rule: "no-default-export", message: "a default export has no name to search for" };
  }
  if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && ["only", "skip"].includes(node.expression.name.text)) {
    const subject = node.expression.expression.getText(source);
    if (["describe", "context", "it", "test", "suite", "specify"].includes(subject))
      return { rule: "no-partial-tests", message: `${subject}.${node.expression.name.text} leaves tests out` };
  }
  if (
    ts.isVariableStatement(node) &&
    node.parent === source &&
    (node.declarationList.flags & ts.NodeFlags.Const) === 0 &&
    (node.declarationList.flags & ts.NodeFlags.Let) !== 0
  ) {
    return { rule: "no-module-state", message: "module-level let is state that no one owns" };
  }
  if (
    !readsEnvironment &&
    ts.isPropertyAccessExpression(node) &&
    node.name.text === "env" &&
    node.expression.getText(source) === "process"
  ) {
    return { rule: "no-environment", message: "only the cli and the main.ts of a process read the environment" };
  }
  return undefined;
}
