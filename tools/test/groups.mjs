/**
 * Finds the groups of tests, and runs a group in a separate mocha process.
 *
 *     unit   one group per package, and one for tools; several groups for a package with many files
 *     e2e    one group per file, named by its path: `e2e/parity`, `e2e/cases/corpus`; `e2e/release/…` only for a release
 *
 * Groups run in parallel, one per core. Groups that measure time (`alone`) run in sequence, while no other group runs.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { packageNames } from "../setup/build.mjs";

/** Ends a group that hangs. Rounds of `npm run test:nightly` draw more cases and take longer. */
const groupTimeout_ms = (process.env.LAPIDARY_PROPERTY_RUNS === undefined ? 25 : 240) * 60_000;
/** A process that a test has ended may need this time to exit on a busy machine. */
const settle_ms = 20_000;
/** Maximum number of files in a group of unit tests. */
const filesOfGroup = 16;
/** Repeats of claims on more meshes, for a release: `npm run test:release` runs them after all other groups. */
const releasePrefix = "e2e/release/";
/** This group measures how fast a page draws. */
const alone = new Set(["e2e/dashboard-live"]);

/** @typedef {{ readonly name: string, readonly alone: boolean, readonly files: readonly string[] }} Group */
/** @typedef {{ readonly title: string, readonly cases: number, readonly rejected: number, readonly seed: number }} Property */
/**
 * @typedef {{ readonly passed: number, readonly skipped: readonly string[], readonly properties: readonly Property[],
 *   readonly failures: readonly { title: string, message: string }[], readonly seconds: number,
 *   readonly processor_s: number }} Outcome
 */

/**
 * @param {string} root
 * @param {boolean} [withRelease] whether the groups of a release are among them
 * @returns {Group[]}
 */
export function findGroups(root, withRelease = false) {
  const units = packageNames(root).map((name) => ({ name, files: testFiles(join(root, "packages", name, "dist"), ".test.js") }));
  units.push({ name: "tools", files: testFiles(join(root, "tools"), ".test.mjs") });
  const e2e = join(root, "e2e/dist");
  const whole = testFiles(e2e, ".test.js").map((file) => ({
    name: `e2e/${relative(e2e, file)
      .replace(/\.test\.js$/, "")
      .replaceAll("\\", "/")}`,
    files: [file],
  }));
  return [...units.flatMap(inParts), ...whole]
    .filter(({ name }) => withRelease || !name.startsWith(releasePrefix))
    .map((group) => ({ ...group, alone: alone.has(group.name) }));
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
 * @param {number} [endLeftovers_ms] how long processes of the group may still run after its end
 * @returns {Promise<Outcome>}
 */
export async function runGroup(session, group, endLeftovers_ms = settle_ms) {
  const directory = join(session.root, "out/test");
  mkdirSync(directory, { recursive: true });
  const output = join(directory, `${group.name.replaceAll("/", "-")}.jsonl`);
  rmSync(output, { force: true });
  const start_ms = Date.now();
  const reporter = ["--reporter", join(session.root, "tools/test/reporter.mjs"), "--reporter-option", `output=${output}`];
  const plugins = ["seed.mjs", "hang-limit.mjs"].flatMap((name) => ["--require", join(session.root, "tools/test", name)]);
  const mocha = await session.run(
    process.execPath,
    [join(session.root, "node_modules/mocha/bin/mocha.js"), ...plugins, ...reporter, ...group.files],
    {
      timeout_ms: groupTimeout_ms,
      endLeftovers_ms,
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
    skipped: lines.filter((line) => line.kind === "pending").map(({ title }) => title),
    properties: lines.filter((line) => line.kind === "property"),
    failures,
    seconds: (Date.now() - start_ms) / 1000,
    processor_s: lines.find((line) => line.kind === "processor")?.seconds ?? 0,
  };
}
