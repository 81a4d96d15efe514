/**
 * The TypeScript build of all packages: `tsc -b` in the order of their references. First it removes compiled files without
 * a source, so that deleted tests do not run.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { fileProblemIn } from "./file-errors.mjs";
import { writeOpcodes } from "./opcodes.mjs";
import { SetupError } from "./session.mjs";
import { changeKey, contentKey, readStamp, removeStamp, writeStamp } from "./stamp.mjs";

const step = "build";

/**
 * The project's packages, by directory name.
 * @param {string} root
 */
export function packageNames(root) {
  const directory = join(root, "packages");
  return existsSync(directory) ? readdirSync(directory).filter((name) => existsSync(join(directory, name, "package.json"))) : [];
}

/** @param {string} root */
function keyOf(root) {
  const configs = packageNames(root).flatMap((name) => [`packages/${name}/tsconfig.json`, `packages/${name}/package.json`]);
  const settled = contentKey(
    root,
    [...configs, "tsconfig.json", "tsconfig.base.json", "package-lock.json"].map((file) => join(root, file)),
  );
  return `${settled} ${changeKey(packageNames(root).map((name) => join(root, "packages", name, "src")))}`;
}

/** @param {{ root: string }} session */
export function isReady({ root }) {
  const isCompiled = packageNames(root).every((name) => {
    const directory = join(root, "packages", name);
    return existsSync(join(directory, "dist/index.js")) || !existsSync(join(directory, "src/index.ts"));
  });
  return (
    isCompiled && (!hasPage(root) || existsSync(join(root, pageDirectory, "index.html"))) && readStamp(root, step)?.key === keyOf(root)
  );
}

/** The step `opcodes`: only what the kernels need, so that C++ and the other packages compile at the same time. @param {import("./session.mjs").Session} session */
export async function buildOpcodes(session) {
  const { root } = session;
  removeStamp(root, step);
  for (const name of packageNames(root)) removeOrphans(join(root, "packages", name, "src"), join(root, "packages", name, "dist"));
  await runCompiler(session, ["packages/native"]);
  await writeOpcodes(session);
}

/** The step `build`. @param {import("./session.mjs").Session} session */
export async function buildPackages(session) {
  const { root } = session;
  removeStamp(root, step);
  const key = keyOf(root);
  await runCompiler(session, ["."]);
  if (hasPage(root)) await buildPage(session);
  writeStamp(root, step, { key });
}

const pageBuilder = "packages/dashboard/bin/build-page.mjs";
const pageDirectory = "packages/dashboard/page/dist";

/** @param {string} root */
const hasPage = (root) => existsSync(join(root, pageBuilder));

/** Builds the dashboard's page from its sources and the compiled packages; fast if neither has changed. @param {import("./session.mjs").Session} session */
async function buildPage(session) {
  const task = session.report.begin(step, "the dashboard's page");
  const result = await session.run(process.execPath, [join(session.root, pageBuilder)]);
  if (result.code !== 0) {
    task.end();
    const problem = fileProblemIn(session, session.root, result.tail);
    if (problem !== undefined) throw problem;
    throw new SetupError({
      code: "LAP_SETUP_BUILD",
      message: "the dashboard's page was not built",
      output: result.tail,
      // Vite reads both as a part of an address.
      remedy: /[#?]/.test(session.root)
        ? `move the checkout to a path without # and ?: ${session.root}`
        : "correct these errors, or get back to a commit that builds",
    });
  }
  task.end("built");
}

/**
 * `tsc -b` of the given projects.
 * @param {import("./session.mjs").Session} session
 * @param {readonly string[]} projects
 */
export async function runCompiler(session, projects) {
  const task = session.report.begin(step, `tsc -b ${projects.join(" ")}`);
  const compiler = join(session.root, "node_modules/@typescript/native/bin/tsc");
  const result = await session.run(process.execPath, [compiler, "-b", "--pretty", "false", "--verbose", ...projects], {
    onLine: (line) => {
      const building = /Building project '(.*)\/tsconfig\.json'/.exec(line)?.[1];
      if (building !== undefined) task.update(building);
    },
  });
  if (result.code !== 0) {
    task.end();
    const problem = fileProblemIn(session, session.root, result.tail);
    if (problem !== undefined) throw problem;
    const errors = result.tail.split("\n").filter((line) => line.trim() !== "" && !/^\d\d?:\d\d:\d\d [AP]M - /.test(line));
    throw new SetupError({
      code: "LAP_SETUP_BUILD",
      message: "the TypeScript build failed",
      output: errors.join("\n"),
      remedy: "correct these errors, or get back to a commit that builds",
    });
  }
  task.end("built");
}

/**
 * Removes compiled files (`x.js`, `x.d.ts`, `x.js.map`, …) without a source `x.ts` or `x.tsx`.
 * @param {string} source
 * @param {string} compiled
 */
export function removeOrphans(source, compiled) {
  if (!existsSync(compiled)) return;
  for (const entry of readdirSync(compiled, { recursive: true, withFileTypes: true })) {
    const stem = /^(.*?)(?:\.d\.ts|\.js)(?:\.map)?$/.exec(entry.name)?.[1];
    if (!entry.isFile() || stem === undefined) continue;
    const directory = entry.parentPath ?? entry.path;
    const twin = join(source, relative(compiled, directory), stem);
    if (![".ts", ".tsx"].some((extension) => existsSync(twin + extension))) rmSync(join(directory, entry.name));
  }
}
