/**
 * Compares the memory and the kernels of the exported step with Google's TPU compiler, over the grid of `grid.mjs`.
 *
 *     npm run calibrate -- --xla              print the table from the stored results of the compiler
 *     npm run calibrate -- --xla --compile    first compile the rows without a result, or whose program has changed: memory only, seconds a row
 *     npm run calibrate -- --xla --compile --kernels    the same with kernels: minutes a row
 *     npm run calibrate -- --xla --write      also write the table to docs/simulator.md
 *
 * Needs a build, and `--compile` needs `lapidary compile --install`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { textForDigest } from "@lapidary/ir";
import { analyse, parseChip, simulateAnalysed, usableHbm } from "@lapidary/simulator";
import { parseTorus } from "@lapidary/topology";
import { compileJob, loadJob } from "@lapidary/training";
import { grid, overridesOf, sequenceParallel } from "./grid.mjs";
import { classTable, compareKernels } from "./kernel-times.mjs";
import { readKernels } from "./kernels.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../../..");
const baseJob = "configs/jobs/gemma-2b.yaml";
const resultsFile = join(here, "results.json");

/** @typedef {import("./kernels.mjs").XlaKernel} XlaKernel */
/** @typedef {{ program: string, peak: number, fits: boolean, kernels?: readonly XlaKernel[] }} XlaResult `kernels` if the program is compiled with `--kernels` */
/** @typedef {import("./kernel-times.mjs").ClassRatio} ClassRatio */
/** @typedef {{ row: import("./grid.mjs").GridRow, plan: number, planFits: boolean, program: string, xla: XlaResult | undefined, kernels: readonly ClassRatio[] }} Compared */
/** @typedef {{ compiler: string, rows: Record<string, XlaResult> }} Results */

/** The results of the compiler, by name of the row. @returns {Results} */
export const readResults = () => JSON.parse(readFileSync(resultsFile, "utf8"));

/** One line for each kernel. @param {Results} results */
function writeResults(results) {
  const rows = Object.entries(results.rows).map(([name, { kernels, ...row }]) => {
    const lines = kernels?.map((kernel) => `      ${JSON.stringify(kernel)}`).join(",\n");
    const fields = Object.entries(row).map(([key, value]) => `      ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
    return `    ${JSON.stringify(name)}: {\n${[...fields, ...(lines === undefined ? [] : [`      "kernels": [\n${lines}\n      ]`])].join(",\n")}\n    }`;
  });
  writeFileSync(resultsFile, `{\n  "compiler": ${JSON.stringify(results.compiler)},\n  "rows": {\n${rows.join(",\n")}\n  }\n}\n`);
}

/** What our plan says about a row, next to the result of the compiler. @param {import("./grid.mjs").GridRow} row @returns {Compared} */
export function compareRow(row, results = readResults()) {
  const configsDir = join(root, "configs");
  const job = loadJob(join(root, baseJob), overridesOf(row), { configsDir, base: root });
  const chip = parseChip(readFileSync(join(configsDir, "chips/v5e.yaml"), "utf8"), "configs/chips/v5e.yaml");
  const analysis = analyse(compileJob(job, { verify: false }), { chip, torus: parseTorus(row.slice) }, "bf16", "plain");
  const { program, memory, writtenAt } = analysis;
  const hash = createHash("sha256").update(textForDigest(program.chip)).digest("hex").slice(0, 16);
  const xla = results.rows[row.name];
  /** @returns {ClassRatio[]} */
  const kernels = () => {
    // The ids of values are those of the program that was compiled.
    if (xla?.kernels === undefined || xla.program !== hash) return [];
    const simulation = simulateAnalysed(analysis, { chip, pods: row.pods, torus: parseTorus(row.slice) });
    return compareKernels(xla.kernels, simulation.kernels, writtenAt, chip.clock_hz ?? 0);
  };
  return { row, plan: memory.peakBytes, planFits: memory.peakBytes <= usableHbm(chip), program: hash, xla, kernels: kernels() };
}

/** Compiles the program of a row. @param {Compared} compared @param {boolean} withKernels @returns {XlaResult & { compiler: string }} */
function compileRow({ row, program }, withKernels) {
  process.stderr.write(`compile ${row.name}\n`);
  const directory = mkdtempSync(join(tmpdir(), "lapidary-grid-"));
  const hlo = join(directory, "step.hlo");
  try {
    const args = [
      "lapidary",
      "compile",
      baseJob,
      ...overridesOf(row),
      "--chip",
      "v5e",
      "--text",
      "chip",
      "--json",
      ...(withKernels ? ["--hlo", hlo] : ["--memory"]),
    ];
    const { status, stdout, stderr } = spawnSync("npx", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
    // Exit code 4: the compiler says that the program does not fit.
    if (status !== 0 && status !== 4) throw new Error(`${row.name}: ${stderr}`);
    const { hbm_bytes, fits, compiler } = JSON.parse(stdout);
    return {
      program,
      peak: hbm_bytes.peak,
      fits,
      compiler,
      ...(fits && withKernels ? { kernels: readKernels(readFileSync(hlo, "utf8")) } : {}),
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
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
  const timed = rows.filter(({ kernels }) => kernels.length > 0);
  const wrong = rows.filter(({ planFits, xla }) => planFits && xla?.fits === false);
  return [
    "| row | mesh | ZeRO | remat | tokens of a row | compiler, GB | plan, GB | error | |",
    "|---|---|---|---|---|---|---|---|---|",
    ...rows.map((each) => {
      const { row, plan, xla, program } = each;
      const changed = xla?.program === program ? "" : ", the program has changed";
      const mesh = row.mesh.replace(/[{} ]/g, "").replaceAll(":", "=") + (row.overrides === sequenceParallel ? ", sequence" : "");
      const count = row.overrides.flatMap((override) => /^loss_chunks=(\d+)$/.exec(override)?.[1] ?? [])[0];
      const tokens = `${row.seq}${count === undefined ? "" : `, ${count} pieces`}`;
      const size = `${gigabytes(xla?.peak ?? 0)}${xla?.fits === false ? " (does not fit)" : ""}`;
      return `| ${row.name} | ${mesh} | ${row.zero} | ${row.remat} | ${tokens} | ${size} | ${gigabytes(plan)} | ${signed(errorOf(each))} | ${row.use}${changed} |`;
    }),
    "",
    `All: ${summary(rows)}. Derived: ${summary(rows.filter(({ row }) => row.use === "derived"))}.`,
    `Checked: ${summary(rows.filter(({ row }) => row.use === "checked"))}.`,
    "",
    `Times of kernels, ours divided by the estimate of the compiler, over the programs of ${timed.length} rows:`,
    "",
    classTable(timed.flatMap(({ kernels }) => kernels)),
    "",
    `For an exported step with plain attention, expect the compiler's peak within ${(100 * Math.max(0, ...rows.map((each) => Math.abs(errorOf(each))))).toFixed(0)} % of the plan for jobs like these rows.`,
    wrong.length === 0
      ? "If the plan is within a tenth of the limit, run `lapidary compile --text chip --memory` before you rely on it."
      : `The plan says "fits" for ${wrong.length} rows that do not fit: run \`lapidary compile --text chip --memory\` before you rely on it.`,
  ].join("\n");
}

/** @param {readonly string[]} flags */
export function compareGrid(flags) {
  const results = readResults();
  const compared = grid.map((row) => {
    const first = compareRow(row, results);
    if (!flags.includes("--compile") || first.xla?.program === first.program) return first;
    const { compiler, ...result } = compileRow(first, flags.includes("--kernels"));
    results.compiler = compiler;
    results.rows[row.name] = result;
    writeResults(results);
    return compareRow(row, results);
  });
  const text = table(compared);
  process.stdout.write(`${text}\n`);
  if (!flags.includes("--write")) return;
  const docs = join(root, "docs/simulator.md");
  const section = /(<!-- memory grid -->\n)[\s\S]*?(<!-- end of memory grid -->)/;
  writeFileSync(docs, readFileSync(docs, "utf8").replace(section, `$1\n${text}\n\n$2`));
}
