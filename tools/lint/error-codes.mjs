/**
 * Finds the uses of error codes, and writes the page docs/errors.md. The registry is `packages/std/src/error-codes.ts`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { errorAreas, errorCodes, ExitCode, warningCodes } from "@lapidary/std";

/** @typedef {{ readonly file: string, readonly line: number, readonly code: string }} CodeUse */

const places = ["packages", "tools", "e2e", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];
const skipped = new Set(["node_modules", "dist", "build", "errors.md"]);
const readable = /\.(ts|mjs|cjs|js|svelte|py|md|cc|h|sh|yaml)$/;
const codePattern = /(?<![A-Za-z0-9_])LAP_[A-Z0-9_]+/g;

/**
 * Every code that a file of the project names. A code that ends with `_` is a prefix, such as `LAP_FILE_`.
 *
 * @param {string} root
 * @returns {CodeUse[]}
 */
export function codeUses(root) {
  return places.flatMap((place) => filesBelow(root, place)).flatMap((file) => usesIn(file, readFileSync(join(root, file), "utf8")));
}

/**
 * @param {string} file
 * @param {string} text
 * @returns {CodeUse[]}
 */
export function usesIn(file, text) {
  return text.split("\n").flatMap((line, i) => [...line.matchAll(codePattern)].map(([code]) => ({ file, line: i + 1, code })));
}

/**
 * The uses of codes that are not in the registry.
 *
 * @param {readonly CodeUse[]} uses
 */
export function unregistered(uses) {
  const known = [...Object.keys(errorCodes), ...Object.keys(warningCodes)];
  return uses.filter(({ code }) => (code.endsWith("_") ? !known.some((each) => each.startsWith(code)) : !known.includes(code)));
}

/**
 * The codes of the registry that no program throws or prints.
 *
 * @param {readonly CodeUse[]} uses
 */
export function unused(uses) {
  const thrown = new Set(uses.flatMap(({ file, code }) => (isProgram(file) ? [code] : [])));
  return [...Object.keys(errorCodes), ...Object.keys(warningCodes)].filter((code) => !thrown.has(code));
}

/** @param {string} file */
const isProgram = (file) =>
  !file.endsWith(".md") && !file.startsWith("e2e/") && !/(\.test\.|\/testing\/|^packages\/std\/src\/error-codes)/.test(file);

/**
 * The failures that a Python program raises, with the name of the exit code that it gives.
 *
 * @param {string} text
 */
export function pythonFailures(text) {
  const exits = { USAGE: "usage", DOES_NOT_FIT: "doesNotFit", NOT_FOUND: "notFound" };
  return [...text.matchAll(/Failure\(\s*"(LAP_\w+)"/g)].map((match) => {
    const call = callFrom(text.slice(match.index));
    const name = /\b(USAGE|DOES_NOT_FIT|NOT_FOUND),?\s*\)$/.exec(call)?.[1];
    const exit = name === undefined ? "other" : exits[/** @type {keyof typeof exits} */ (name)];
    return { code: match[1] ?? "", exit: ExitCode[/** @type {keyof typeof ExitCode} */ (exit)] };
  });
}

/** @param {string} text begins with a call; its strings have balanced parentheses */
function callFrom(text) {
  let depth = 0;
  for (let i = text.indexOf("("); i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth === 0) return text.slice(0, i + 1);
  }
  return text;
}

/** The page docs/errors.md. */
export function errorsPage() {
  const sections = Object.entries(errorAreas).map(([title, codes]) =>
    [
      `## ${title}`,
      "",
      "| code | exit | recoverable | meaning |",
      "|---|---|---|---|",
      ...Object.entries(codes).map(
        ([code, { exit, recoverable, summary }]) => `| \`${code}\` | ${exit} | ${recoverable ? "yes" : "no"} | ${summary} |`,
      ),
    ].join("\n"),
  );
  const warnings = Object.entries(warningCodes).map(([code, { summary }]) => `| \`${code}\` | ${summary} |`);
  return [introduction, ...sections, ["## Warnings", "", "| code | meaning |", "|---|---|", ...warnings].join("\n")].join("\n\n");
}

const introduction = `# Error codes

Every error that Lapidary reports has a code. An error prints its code, what failed, the location, and a remedy.
A code never changes its meaning.

- **exit**: the exit code of a command that ends with this error.
  A command that follows a job exits with 100 if the job failed, unless the error has exit code 2 or 4.
- **recoverable**: after such an error the run repeats the work from the last committed step. Any other error ends the run,
  unless \`train.guard\` skips the batch.
- An unknown code comes from another version of Lapidary. It is not recoverable and its exit code is 1.

This page is generated from \`packages/std/src/error-codes.ts\`. To write it again:
\`UPDATE=1 npx mocha tools/lint/error-codes.test.mjs\`.`;

/**
 * @param {string} root
 * @param {string} place
 * @returns {string[]} paths relative to the root
 */
export function filesBelow(root, place) {
  if (readable.test(place)) return [place];
  return readdirSync(join(root, place), { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name) || entry.name.startsWith(".")) return [];
    const path = `${place}/${entry.name}`;
    if (entry.isDirectory()) return filesBelow(root, path);
    return readable.test(entry.name) ? [path] : [];
  });
}
