/** The result of a run: the score and the mutants that no test killed, at their places in the TypeScript source. */
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { join } from "node:path";
import { confidenceInterval, keyOf } from "./sample.mjs";

/**
 * @typedef {object} Mutant as in the report of StrykerJS (mutation-testing-report-schema)
 * @property {string} mutatorName
 * @property {string} [replacement]
 * @property {string} status
 * @property {{ start: { line: number, column: number }, end: { line: number, column: number } }} location from 1
 * @typedef {{ files: Record<string, { source: string, mutants: Mutant[] }> }} Report
 * @typedef {{ file: string, line: number, original: string, replacement: string, status: string, code: string, key: string }} Survivor
 * @typedef {{ file: string, code: string, original: string, replacement: string, reason: string }} Equivalent `code` is the line in the source
 */

const killed = new Set(["Killed", "Timeout"]);
const alive = new Set(["Survived", "NoCoverage"]);

/**
 * @param {string} root the project
 * @param {Report} report
 * @param {readonly Equivalent[]} equivalent mutants that behave as the code does
 */
export function readReport(root, report, equivalent) {
  /** @type {Survivor[]} */
  const survivors = [];
  const counts = { killed: 0, survived: 0, equivalent: 0, ignored: 0, notDrawn: 0 };
  for (const [built, { source, mutants }] of Object.entries(report.files)) {
    const map = new SourceMap(JSON.parse(readFileSync(join(root, `${built}.map`), "utf8")));
    const file = built.replace("/dist/", "/src/").replace(/\.js$/, ".ts");
    const lines = readFileSync(join(root, file), "utf8").split("\n");
    for (const mutant of mutants) {
      const { status, location, replacement = "" } = mutant;
      if (killed.has(status)) counts.killed++;
      else if (status === "CompileError") counts.notDrawn++;
      else if (!alive.has(status)) counts.ignored++;
      else {
        const { start } = location;
        const entry = map.findEntry(start.line - 1, start.column - 1);
        const line = "originalLine" in entry ? entry.originalLine + 1 : 0;
        const code = (lines[line - 1] ?? "").trim();
        const survivor = { file, line, original: textAt(source, location), replacement, status, code, key: keyOf(built, mutant) };
        if (equivalent.some((each) => isSame(each, survivor))) counts.equivalent++;
        else {
          counts.survived++;
          survivors.push(survivor);
        }
      }
    }
  }
  const tried = counts.killed + counts.survived;
  return { ...counts, score: tried === 0 ? 0 : (100 * counts.killed) / tried, survivors };
}

/** @param {Equivalent} listed @param {Survivor} survivor */
const isSame = (listed, { file, code, original, replacement }) =>
  listed.file === file && listed.code === code && listed.original === original && listed.replacement === replacement;

/** @param {string} source @param {Mutant["location"]} location */
function textAt(source, { start, end }) {
  const lines = source.split("\n").slice(start.line - 1, end.line);
  const last = lines.length - 1;
  lines[last] = (lines[last] ?? "").slice(0, end.column - 1);
  lines[0] = (lines[0] ?? "").slice(start.column - 1);
  return lines.join("\n");
}

/** @param {string} name @param {ReturnType<typeof readReport>} result */
export function resultText(name, { killed: dead, survived, equivalent, ignored, notDrawn, score, survivors }) {
  const tried = dead + survived;
  const [low, high] = confidenceInterval(dead, tried).map((bound) => bound.toFixed(1));
  const drawn =
    notDrawn === 0 ? "" : `; a sample of ${tried + equivalent} of ${tried + equivalent + notDrawn}: 95 % interval ${low} to ${high} %`;
  const head = `${name}: ${score.toFixed(1)} % of ${tried} mutants killed; ${equivalent} equivalent, ${ignored} not run${drawn}\n`;
  const short = (/** @type {string} */ text) => text.replaceAll(/\s+/g, " ").slice(0, 100);
  const lines = survivors.map(
    ({ file, line, original, replacement, status }) =>
      `${file}:${line}${status === "NoCoverage" ? " (no test runs it)" : ""}\n    - ${short(original)}\n    + ${short(replacement)}\n`,
  );
  return head + lines.join("");
}
