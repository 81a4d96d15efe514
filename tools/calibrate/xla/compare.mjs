/**
 * Compares the memory model of the exported step with Google's TPU compiler, over the grid of `grid.mjs`.
 *
 *     npm run calibrate -- --xla              print the table from the stored results of the compiler
 *     npm run calibrate -- --xla --compile    first compile the rows without a result, or whose program has changed
 *     npm run calibrate -- --xla --write      also write the table to docs/simulator.md
 *
 * Needs a build, and `--compile` needs `lapidary compile --install`. A row takes one to three minutes of a core.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { textForDigest } from "@lapidary/ir";
import { analyse, parseChip, usableHbm } from "@lapidary/simulator";
import { compileJob, loadJob } from "@lapidary/training";
import { grid, overridesOf } from "./grid.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const baseJob = "configs/jobs/gemma-2b.yaml";
const resultsFile = join(here, "results.json");

/** @typedef {{ program: string, peak: number, fits: boolean }} XlaResult */
/** @typedef {{ row: import("./grid.mjs").GridRow, plan: number, planFits: boolean, program: string, xla: XlaResult | undefined }} Compared */

/** @returns {{ compiler: string, rows: Record<string, XlaResult> }} The results of the compiler, by name of the row. */
export const readResults = () => JSON.parse(readFileSync(resultsFile, "utf8"));

/** What our plan says about a row, next to the result of the compiler. @param {import("./grid.mjs").GridRow} row @returns {Compared} */
export function compareRow(row, results = readResults()) {
  const configsDir = join(root, "configs");
  const job = loadJob(join(root, baseJob), overridesOf(row), { configsDir, base: root });
  const chip = parseChip(readFileSync(join(configsDir, "chips/v5e.yaml"), "utf8"), "configs/chips/v5e.yaml");
  const { program, memory } = analyse(compileJob(job, { verify: false }), chip, "bf16", "plain");
  const hash = createHash("sha256").update(textForDigest(program.chip)).digest("hex").slice(0, 16);
  return { row, plan: memory.peakBytes, planFits: memory.peakBytes <= usableHbm(chip), program: hash, xla: results.rows[row.name] };
}

/** Compiles the program of a row. @param {Compared} compared @returns {XlaResult & { compiler: string }} */
function compileRow({ row, program }) {
  process.stderr.write(`compile ${row.name}\n`);
  const args = ["lapidary", "compile", baseJob, ...overridesOf(row), "--chip", "v5e", "--text", "chip", "--json"];
  const { status, stdout, stderr } = spawnSync("npx", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  // Exit code 4: the compiler says that the program does not fit.
  if (status !== 0 && status !== 4) throw new Error(`${row.name}: ${stderr}`);
  const { hbm_bytes, fits, compiler } = JSON.parse(stdout);
  return { program, peak: hbm_bytes.peak, fits, compiler };
}

/** The error of the plan, relative to the compiler. @param {Compared} compared */
export const errorOf = ({ plan, xla }) => (xla === undefined ? Number.NaN : plan / xla.peak - 1);

/** @param {number} bytes */
const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);
/** @param {number} error */
const signed = (error) => `${error < 0 ? "−" : "+"}${Math.abs(100 * error).toFixed(1)} %`;

/** @param {readonly Compared[]} all */
export function table(all) {
  const rows = all.filter(({ xla }) => xla !== undefined);
  /** @param {readonly Compared[]} some */
  const summary = (some) => {
    const errors = some.map((each) => Math.abs(errorOf(each)));
    const mean = errors.reduce((sum, error) => sum + error, 0) / Math.max(1, errors.length);
    return `${some.length} rows, mean ${(100 * mean).toFixed(1)} %, largest ${(100 * Math.max(0, ...errors)).toFixed(1)} %`;
  };
  const wrong = rows.filter(({ planFits, xla }) => planFits && xla?.fits === false);
  return [
    "| row | mesh | ZeRO | remat | tokens of a row | compiler, GB | plan, GB | error | |",
    "|---|---|---|---|---|---|---|---|---|",
    ...rows.map((each) => {
      const { row, plan, xla, program } = each;
      const changed = xla?.program === program ? "" : ", the program has changed";
      const mesh = row.mesh.replace(/[{} ]/g, "").replaceAll(":", "=") + (row.overrides.length > 0 ? ", sequence" : "");
      const size = `${gigabytes(xla?.peak ?? 0)}${xla?.fits === false ? " (does not fit)" : ""}`;
      return `| ${row.name} | ${mesh} | ${row.zero} | ${row.remat} | ${row.seq} | ${size} | ${gigabytes(plan)} | ${signed(errorOf(each))} | ${row.use}${changed} |`;
    }),
    "",
    `All: ${summary(rows)}. Derived: ${summary(rows.filter(({ row }) => row.use === "derived"))}.`,
    `Checked: ${summary(rows.filter(({ row }) => row.use === "checked"))}.`,
    "",
    `For an exported step with plain attention, expect the compiler's peak within ${(100 * Math.max(0, ...rows.map((each) => Math.abs(errorOf(each))))).toFixed(0)} % of the plan for jobs like these rows.`,
    wrong.length === 0
      ? "If the plan is within a tenth of the limit, run `lapidary compile --text chip` before you rely on it."
      : `The plan says "fits" for ${wrong.length} rows that do not fit: run \`lapidary compile --text chip\` before you rely on it.`,
  ].join("\n");
}

/** @param {readonly string[]} flags */
export function compareGrid(flags) {
  const results = readResults();
  const compared = grid.map((row) => {
    const first = compareRow(row, results);
    if (!flags.includes("--compile") || first.xla?.program === first.program) return first;
    const { compiler, ...result } = compileRow(first);
    results.compiler = compiler;
    results.rows[row.name] = result;
    writeFileSync(resultsFile, `${JSON.stringify(results, null, 2)}\n`);
    return { ...first, xla: result };
  });
  const text = table(compared);
  process.stdout.write(`${text}\n`);
  if (!flags.includes("--write")) return;
  const docs = join(root, "docs/simulator.md");
  const section = /(<!-- memory grid -->\n)[\s\S]*?(\n<!-- end of memory grid -->)/;
  writeFileSync(docs, readFileSync(docs, "utf8").replace(section, `$1\n${text}\n$2`));
}
