#!/usr/bin/env node
/**
 * `npm test`: sets up, builds, lints and runs every test. The last line is always `N passed, N failed`; a failed
 * set-up, build or lint counts as a failure. A group that fails counts at once; nothing runs again. The lines before the last one name the tests
 * that were skipped, because this machine lacks what they need, and those that failed. `node tools/test.mjs NAME…` runs only the groups whose names start with NAME.
 * `--release` adds the groups of a release.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { lint } from "./lint/lint.mjs";
import { removeOrphans, runCompiler } from "./setup/build.mjs";
import { setUp, printError, underSession } from "./setup/main.mjs";
import { Session, SetupError } from "./setup/session.mjs";
import { readStamp, writeStamp } from "./setup/stamp.mjs";
import { findGroups, runGroup } from "./test/groups.mjs";
import { processorSeconds } from "./test/processor-time.mjs";
import { failuresText, processorText, propertiesText, skippedText, totalText } from "./test/summary.mjs";

/** Seconds that groups took on a slow machine, so that a fresh clone also starts the longest groups first. @type {Record<string, number>} */
const usualTimes = JSON.parse(readFileSync(new URL("test/usual-times.json", import.meta.url), "utf8"));
const session = new Session();
const isRelease = process.argv.includes("--release");
const chosen = process.argv.slice(2).filter((argument) => argument !== "--release");
let passed = 0;
let failed = 0;
/** @type {import("./test/summary.mjs").GroupOutcome[]} */
const outcomes = [];

/** @param {string} line */
const print = (line) => process.stdout.write(`${line}\n`);

const wentWell = await underSession(session, async () => {
  await attempt(
    async () => {
      await setUp(session);
      removeOrphans(join(session.root, "e2e"), join(session.root, "e2e/dist"));
      await runCompiler(session, ["e2e"]);
    },
    // If the build has errors, the tests of the packages that compiled still run. Without node_modules none can run.
    (error) => error instanceof SetupError && error.code === "LAP_SETUP_BUILD",
  );
  await runTests();
});
if (!wentWell) failed += 1;
for (const line of [...processorText(processorSeconds()), ...totalText(outcomes), ...skippedText(outcomes), ...failuresText(outcomes)])
  print(line);
print(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/**
 * Runs a part of the tests. If its failure is `survivable`, the other parts run anyway.
 * @param {() => Promise<void>} work
 * @param {(error: unknown) => boolean} survivable
 */
async function attempt(work, survivable) {
  try {
    await work();
  } catch (error) {
    if (session.interrupted || !survivable(error)) throw error;
    failed += 1;
    printError(session, error);
  }
}

/**
 * @param {string} title
 * @param {string} details
 */
function report(title, details) {
  failed += 1;
  session.report.clear();
  print(`  ✘ ${title}`);
  print(details.trimEnd().replace(/^/gm, "      "));
}

/**
 * @param {import("./test/groups.mjs").Group} group
 * @param {import("./test/groups.mjs").Outcome} outcome
 */
function printOutcome(group, outcome) {
  session.report.clear();
  const skipped = outcome.skipped.length === 0 ? "" : `, ${outcome.skipped.length} skipped`;
  print(
    `${outcome.failures.length === 0 ? "✔" : "✘"} ${group.name}: ${outcome.passed} passed, ${outcome.failures.length} failed${skipped} (${outcome.seconds.toFixed(1)} s, ${outcome.processor_s.toFixed(1)} s processor)`,
  );
  if (process.env.LAPIDARY_TEST_SEED === "random") for (const line of propertiesText(outcome)) print(line);
}

/** Runs the checks of `npm run lint`, unless only some groups are wanted. */
async function lintSources() {
  for (const problem of chosen.length > 0 ? [] : await lint(session)) report(problem.check, problem.output);
}

async function runTests() {
  const times = /** @type {Record<string, number>} */ (readStamp(session.root, "test-times") ?? {});
  const groups = findGroups(session.root, isRelease).filter(
    ({ name }) => chosen.length === 0 || chosen.some((prefix) => name.startsWith(prefix)),
  );
  const total = groups.length;
  /** The last measured time of a group, here or on another machine; a guess for a group that never ran. @param {import("./test/groups.mjs").Group} group */
  const timeOf = ({ name, files }) => times[name] ?? usualTimes[name] ?? 5 * files.length;
  let done = 0;
  const task = session.report.begin("tests", `${total} groups`);
  /** @type {Set<string>} */
  const running = new Set();
  const show = () => task.update(`${done} done, running ${[...running].join(", ")}`);

  /** @param {import("./test/groups.mjs").Group[]} queue */
  const drain = async (queue) => {
    for (let group = queue.shift(); group !== undefined; group = queue.shift()) {
      running.add(group.name);
      show();
      const outcome = await runGroup(session, group);
      running.delete(group.name);
      done += 1;
      show();
      times[group.name] = outcome.seconds;
      printOutcome(group, outcome);
      outcomes.push({ group: group.name, outcome });
      passed += outcome.passed;
      for (const { title, message } of outcome.failures) report(title, message);
    }
  };
  // The longest first, so that no core idles at the end.
  const shared = groups.filter((group) => !group.alone).sort((a, b) => timeOf(b) - timeOf(a));
  const cores = Array.from({ length: Math.min(availableParallelism(), 8) });
  // The checks of the sources use the first core, while tests already run on the others.
  await Promise.all(cores.map((_, core) => (core === 0 ? lintSources().then(() => drain(shared)) : drain(shared))));
  await drain(groups.filter((group) => group.alone));
  task.end();
  writeStamp(session.root, "test-times", times);
}
