/**
 * Regressions: random cases on which a property once failed. Each is a file that `npm test` replays, after the test that found it.
 *
 *     {"file": "packages/ir/dist/values.test.js", "test": "the whole title", "seed": 5, "case": 4321}
 *
 * `seed` and `case`, the index of the failed case, select the values that fast-check draws: the replay begins with the case that failed.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";

/** @typedef {{ readonly file: string, readonly test: string, readonly seed: number, readonly case: number }} Regression `file` is relative to the project's root */

/**
 * @param {string} directory an absent one has no regressions
 * @returns {readonly (Regression & { readonly path: string })[]}
 * @throws if a file is not a regression
 */
export function readRegressions(directory) {
  return filesIn(directory).map((name) => {
    const path = join(directory, name);
    const regression = JSON.parse(readFileSync(path, "utf8"));
    const isWhole =
      typeof regression.file === "string" &&
      typeof regression.test === "string" &&
      Number.isInteger(regression.seed) &&
      Number.isInteger(regression.case);
    if (!isWhole) throw new Error(`${path} is not a regression: it has file, test, seed and case`);
    return { ...regression, path };
  });
}

/** @param {string} directory */
function filesIn(directory) {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(".json"))
      .sort();
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * @param {string} directory
 * @param {Regression} regression
 * @returns {string} the path of its file
 */
export function saveRegression(directory, regression) {
  mkdirSync(directory, { recursive: true });
  const words = regression.test
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 60);
  const key = createHash("sha256").update(JSON.stringify(regression)).digest("hex").slice(0, 8);
  const path = join(directory, `${words}-${key}.json`);
  writeFileSync(path, `${JSON.stringify(regression, undefined, 2)}\n`);
  return path;
}
