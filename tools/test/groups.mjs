/**
 * Finds the groups of tests, and runs a group in a separate mocha process.
 *
 *     unit   one group per package, and one for tools; several groups for a package with many files
 *     e2e    one group per file, named by its path: `e2e/parity`, `e2e/cases/corpus`
 *
 * Groups run in parallel, one per core. Groups that measure time (`alone`) run in sequence, while no other group runs.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { packageNames } from "../setup/build.mjs";

const groupTimeout_ms = 15 * 60_000;
/** Maximum number of files in a group of unit tests. */
const filesOfGroup = 16;
/** This group measures how fast a page draws. */
const alone = new Set(["e2e/dashboard-live"]);

/** @typedef {{ readonly name: string, readonly alone: boolean, readonly files: readonly string[] }} Group */
/** @typedef {{ readonly passed: number, readonly skipped: number, readonly failures: readonly { title: string, message: string }[], readonly seconds: number }} Outcome */

/**
 * @param {string} root
 * @returns {Group[]}
 */
export function findGroups(root) {
  const units = packageNames(root).map((name) => ({ name, files: testFiles(join(root, "packages", name, "dist"), ".test.js") }));
  units.push({ name: "tools", files: testFiles(join(root, "tools"), ".test.mjs") });
  const e2e = join(root, "e2e/dist");
  const whole = testFiles(e2e, ".test.js").map((file) => ({
    name: `e2e/${relative(e2e, file)
      .replace(/\.test\.js$/, "")
      .replaceAll("\\", "/")}`,
    files: [file],
  }));
  return [...units.flatMap(inParts), ...whole].map((group) => ({ ...group, alone: alone.has(group.name) }));
}

/**
 * Groups of a package. Neighbouring files, which are similar, are in different groups.
 * @param {{ readonly name: string, readonly files: readonly string[] }} unit
 */
function inParts({ name, files }) {
  const count = Math.ceil(files.length / filesOfGroup);
  return Array.from({ length: count }, (_, part) => ({
    name: count === 1 ? name : `${name}/${part + 1}`,
    files: files.filter((_, i) => i % count === part),
  }));
}

/**
 * @param {string} directory
 * @param {string} ending
 */
function testFiles(directory, ending) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(directory, name))
    .sort();
}

/**
 * @param {import("../setup/session.mjs").Session} session
 * @param {Group} group
 * @returns {Promise<Outcome>}
 */
export async function runGroup(session, group) {
  const directory = join(session.root, "out/test");
  mkdirSync(directory, { recursive: true });
  const output = join(directory, `${group.name.replaceAll("/", "-")}.jsonl`);
  rmSync(output, { force: true });
  const start_ms = Date.now();
  const reporter = ["--reporter", join(session.root, "tools/test/reporter.mjs"), "--reporter-option", `output=${output}`];
  const seed = ["--require", join(session.root, "tools/test/seed.mjs")];
  const mocha = await session.run(
    process.execPath,
    [join(session.root, "node_modules/mocha/bin/mocha.js"), ...seed, ...reporter, ...group.files],
    {
      timeout_ms: groupTimeout_ms,
      endLeftovers: true,
    },
  );
  const lines = existsSync(output)
    ? readFileSync(output, "utf8")
        .trim()
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line))
    : [];
  const failures = lines.filter((line) => line.kind === "fail").map(({ title, message }) => ({ title, message }));
  const held = lines.find((line) => line.kind === "held");
  const ended = lines.some((line) => line.kind === "end");
  /** @param {string} title @param {string} message */
  const addFailure = (title, message) => failures.push({ title: `${group.name}: ${title}`, message });
  if (!ended) addFailure("the tests did not run to their end", mocha.tail);
  else if (held !== undefined) addFailure("after the last test something keeps the process alive", held.by);
  else if (mocha.code !== 0 && failures.length === 0) addFailure(`mocha exited with ${mocha.code}`, mocha.tail);
  if (mocha.leftovers.length > 0) addFailure("processes were left running", mocha.leftovers.join("\n"));
  return {
    passed: lines.filter((line) => line.kind === "pass").length,
    skipped: lines.filter((line) => line.kind === "pending").length,
    failures,
    seconds: (Date.now() - start_ms) / 1000,
  };
}
