/**
 * Fits the calibrated constants of a chip to published runs, in the open:
 *
 *     node tools/calibrate/main.mjs            compile, fit, print the constants and the table of residuals
 *     node tools/calibrate/main.mjs --write    and put them into configs/chips/*.yaml and docs/simulator.md
 *
 * Four constants, eight runs. Every run is also predicted from a fit of the other seven. Needs a build; takes some minutes.
 */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { analyse, parseChip, simulateAnalysed, utilisation } from "@lapidary/simulator";
import { compileJob, loadJob } from "@lapidary/training";
import { parseTorus } from "@lapidary/topology";
import { leastSquares } from "./least-squares.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const configsDir = join(root, "configs");

/** What is fitted, and between which values it stays plausible. */
const fitted = /** @type {const} */ ([
  { name: "matrix_efficiency", start: 0.94, low: 0.85, high: 0.98 },
  { name: "vector_efficiency", start: 0.25, low: 0.1, high: 0.5 },
  { name: "overlap_loss", start: 0.7, low: 0, high: 0.95 },
  { name: "pod_delay", start: 0.02, low: 0, high: 0.05 },
]);

/** @type {{ source: string, runs: { job: string, pods: number, mfu: number }[] }} */
const measured = JSON.parse(readFileSync(join(here, "measured.json"), "utf8"));
const chip = parseChip(readFileSync(join(configsDir, "chips/v5e.yaml"), "utf8"), "configs/chips/v5e.yaml");

const runs = measured.runs.map((run) => {
  const job = loadJob(join(configsDir, "jobs/published", `${run.job}.yaml`), [`pods=${run.pods}`], { configsDir, base: root });
  process.stderr.write(`compile ${run.job} for ${run.pods} pods\n`);
  return { ...run, torus: parseTorus(job.slice), analysis: analyse(compileJob(job, { verify: false }), chip, "bf16") };
});

/** @param {readonly number[]} x @param {typeof runs[number]} run MFU in percent */
function predict(x, { analysis, pods, torus }) {
  const calibrated = { ...chip.calibrated, ...Object.fromEntries(fitted.map(({ name }, i) => [name, x[i]])) };
  const simulation = simulateAnalysed(analysis, { chip: { ...chip, calibrated }, pods, torus });
  return 100 * utilisation(simulation, simulation.flops.weights + simulation.flops.attention);
}

/** @param {readonly typeof runs[number][]} of @param {readonly number[]} [start] */
const fit = (of, start) =>
  leastSquares(
    (x) => of.map((run) => Math.log(predict(x, run) / run.mfu)),
    fitted.map((each, i) => ({ ...each, start: start?.[i] ?? each.start })),
  );

process.stderr.write("fit\n");
const constants = fit(runs).map((value) => Number(value.toPrecision(3)));
const rows = runs.map((run) => {
  process.stderr.write(`predict ${run.job} on ${run.pods} pods from the other runs\n`);
  return {
    ...run,
    predicted: predict(constants, run),
    without: predict(
      fit(
        runs.filter((other) => other !== run),
        constants,
      ),
      run,
    ),
  };
});

/** @param {number} predicted @param {number} mfu */
const residual = (predicted, mfu) => `${predicted >= mfu ? "+" : "−"}${Math.abs(100 * (predicted / mfu - 1)).toFixed(1)} %`;
/** @param {(row: typeof rows[number]) => number} value */
const mean = (value) => rows.reduce((sum, row) => sum + value(row), 0) / rows.length;
/** @param {(row: typeof rows[number]) => number} value */
const largest = (value) => Math.max(...rows.map(value));
/** @param {typeof rows[number]} row */
const error = (row) => Math.abs(100 * (row.predicted / row.mfu - 1));
/** @param {typeof rows[number]} row */
const errorWithout = (row) => Math.abs(100 * (row.without / row.mfu - 1));

const table = [
  "| constant | value |",
  "|---|---|",
  ...fitted.map(({ name }, i) => `| ${name} | ${constants[i]} |`),
  "",
  "| run | pods | measured MFU | predicted | residual | from the other seven runs |",
  "|---|---|---|---|---|---|",
  ...rows.map(
    (row) =>
      `| ${row.job} | ${row.pods} | ${row.mfu.toFixed(2)} | ${row.predicted.toFixed(2)} | ${residual(row.predicted, row.mfu)} | ${row.without.toFixed(2)} (${residual(row.without, row.mfu)}) |`,
  ),
  `| mean | | | | ${mean(error).toFixed(1)} % | ${mean(errorWithout).toFixed(1)} % |`,
  `| largest | | | | ${largest(error).toFixed(1)} % | ${largest(errorWithout).toFixed(1)} % |`,
].join("\n");
process.stdout.write(`${table}\n`);

if (process.argv.includes("--write")) {
  for (const name of readdirSync(join(configsDir, "chips"))) {
    const file = join(configsDir, "chips", name);
    const text = fitted.reduce(
      (all, { name: constant }, i) => all.replace(new RegExp(`^(\\s+${constant}: )\\S+`, "m"), `$1${constants[i]}`),
      readFileSync(file, "utf8"),
    );
    writeFileSync(file, text);
  }
  const docs = join(root, "docs/simulator.md");
  writeFileSync(
    docs,
    readFileSync(docs, "utf8").replace(/(<!-- calibration -->\n)[\s\S]*?(\n<!-- end of calibration -->)/, `$1\n${table}\n$2`),
  );
}
