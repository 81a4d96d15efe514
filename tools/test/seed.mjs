/**
 * Loaded before the tests. Property tests draw the same cases in every run with one seed, so that failures of CI can be repeated.
 * LAPIDARY_TEST_SEED sets another, or `random` to find new cases (`npm run test:nightly`). LAPIDARY_PROPERTY_RUNS sets the number of cases of the
 * properties that do not set it.
 *
 * Each property reports how many cases it compared. A case that ends early must call `fc.pre`, so that another case is drawn in its place.
 *
 * A property that fails with a fresh seed saves its case as a regression. Every run replays the saved cases (`regressions.mjs`).
 */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { propertyEvents } from "./property-events.mjs";
import { readRegressions, saveRegression } from "./regressions.mjs";

const wanted = process.env.LAPIDARY_TEST_SEED ?? "20261124";
const runs = process.env.LAPIDARY_PROPERTY_RUNS;
const directory = process.env.LAPIDARY_REGRESSIONS ?? fileURLToPath(new URL("regressions", import.meta.url));
/** The path of a test file in a regression. @param {string | undefined} file */
const fileOf = (file) => relative(process.cwd(), file ?? "");
/** The test that runs. @type {import("mocha").Test | undefined} */
let current;

/** @type {import("fast-check").GlobalParameters} */
const usual = {
  ...fc.readConfigureGlobal(),
  ...(wanted === "random" ? {} : { seed: Number(wanted) }),
  ...(runs === undefined ? {} : { numRuns: Number(runs) }),
  reporter: (details) => {
    if (details.failed)
      throw new Error(`${fc.defaultReportMessage(details)}${causeOf(details)}${saved(details)}`, { cause: details.errorInstance });
    if (details.numRuns === 0) throw new Error("the property compared no case");
    propertyEvents.emit("held", { cases: details.numRuns, rejected: details.numSkips, seed: details.seed });
  },
};
fc.configureGlobal(usual);

/**
 * The error of the failed case, which the report of fast-check leaves out.
 * @param {import("fast-check").RunDetails<unknown>} details
 */
function causeOf({ errorInstance: error }) {
  return error instanceof Error ? `\nThe case failed with ${error.stack}` : "";
}

/**
 * Saves a case that a fresh seed found. @returns a line that names its file
 * @param {import("fast-check").RunDetails<unknown>} details
 */
function saved({ seed, counterexamplePath }) {
  if (wanted !== "random" || current === undefined || counterexamplePath === null) return "";
  const place = { file: fileOf(current.file), test: current.fullTitle() };
  return `\nRegression: ${saveRegression(directory, { ...place, seed, case: Number.parseInt(counterexamplePath, 10) })}`;
}

/**
 * Adds a replay of each regression after the test that found it.
 * @param {import("mocha").Suite} root
 */
function addReplays(root) {
  const tests = testsBelow(root);
  const loaded = new Set(tests.map(({ file }) => fileOf(file)));
  for (const { path, file, test, seed, case: index } of readRegressions(directory)) {
    if (!loaded.has(join(file))) continue;
    const found = tests.find((candidate) => fileOf(candidate.file) === file && candidate.fullTitle() === test);
    if (found?.parent === undefined || found.fn === undefined)
      throw new Error(`${path} names a test that ${file} does not have: "${test}". Remedy: correct its name, or delete the regression`);
    const { parent } = found;
    const body = /** @type {(this: import("mocha").Context) => unknown} */ (found.fn);
    const Test = /** @type {typeof import("mocha").Test} */ (found.constructor);
    const replay = new Test(
      `${found.title} (regression ${seed}:${index})`,
      /** @this {import("mocha").Context} */ async function () {
        // The types leave `path` out, because it is rarely one of all properties.
        fc.configureGlobal(/** @type {typeof usual} */ ({ ...usual, seed, path: String(index) }));
        try {
          await body.call(this);
        } finally {
          fc.configureGlobal(usual);
        }
      },
    );
    replay.file = found.file;
    parent.addTest(replay);
  }
}

/** @param {import("mocha").Suite} suite @returns {import("mocha").Test[]} */
const testsBelow = (suite) => [...suite.tests, ...suite.suites.flatMap(testsBelow)];

export const mochaHooks = {
  /** @this {import("mocha").Context} */
  beforeAll() {
    const root = this.test?.parent;
    if (root !== undefined) addReplays(root);
  },
  /** @this {import("mocha").Context} */
  beforeEach() {
    current = this.currentTest;
  },
};
