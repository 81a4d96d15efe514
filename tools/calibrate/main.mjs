/**
 * Fits the calibrated constants of a chip to published runs:
 *
 *     node tools/calibrate/main.mjs            compile, fit, print the constants and the table of residuals
 *     node tools/calibrate/main.mjs --write    also write them to configs/chips/*.yaml and docs/simulator.md
 *     node tools/calibrate/main.mjs --xla      compare the memory model with Google's TPU compiler (`xla/compare.mjs`)
 *
 * Four constants, eight runs on v5e. Every run is also predicted from a fit of the other seven. For v4, two constants are fitted to two runs, and two
 * more runs are predicted. Needs a build and takes some minutes.
 */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { analyse, parseChip, simulateAnalysed, utilisation } from "@lapidary/simulator";
import { compileJob, loadJob } from "@lapidary/training";
import { parseTorus } from "@lapidary/topology";
import { leastSquares } from "./least-squares.mjs";
import { compareGrid } from "./xla/compare.mjs";

if (process.argv.includes("--xla")) {
  compareGrid(process.argv.slice(2));
  process.exit();
}

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const configsDir = join(root, "configs");

/** The fitted constants, with the bounds of plausible values. */
const fitted = /** @type {const} */ ([
  { name: "matrix_efficiency", start: 0.94, low: 0.85, high: 0.98 },
  { name: "vector_efficiency", start: 0.25, low: 0.1, high: 0.5 },
  { name: "overlap_loss", start: 0.7, low: 0, high: 0.95 },
  { name: "pod_delay", start: 0.02, low: 0, high: 0.05 },
]);

/** @typedef {{ job: string, pods: number, mfu: number }} Measured */
/** @type {{ source: string, runs: Measured[], v4: { source: string, runs: (Measured & { fitted: boolean })[] } }} */
const measured = JSON.parse(readFileSync(join(here, "measured.json"), "utf8"));
const chip = parseChip(readFileSync(join(configsDir, "chips/v5e.yaml"), "utf8"), "configs/chips/v5e.yaml");

const chipV4 = parseChip(readFileSync(join(configsDir, "chips/v4.yaml"), "utf8"), "configs/chips/v4.yaml");

/** @template {Measured} R @param {R} run @param {typeof chip} on */
function compiled(run, on) {
  const job = loadJob(join(configsDir, "jobs/published", `${run.job}.yaml`), [`pods=${run.pods}`], { configsDir, base: root });
  process.stderr.write(`compile ${run.job} for ${run.pods} pods\n`);
  const torus = parseTorus(job.slice);
  return { ...run, torus, analysis: analyse(compileJob(job, { verify: false }), { chip: on, torus }, "bf16") };
}
const runs = measured.runs.map((run) => compiled(run, chip));
const runsV4 = measured.v4.runs.map((run) => compiled(run, chipV4));
/** The constants of v4 that its few runs of one model determine. */
const fittedV4 = /** @type {const} */ ([
  { name: "matrix_efficiency", start: 0.9, low: 0.6, high: 0.98 },
  { name: "pod_delay", start: 0.03, low: 0, high: 0.1 },
]);

/** @param {Readonly<Record<string, number>>} constants @param {Pick<typeof runs[number], "analysis" | "pods" | "torus">} run @param {typeof chip} [on] MFU in percent */
function predictWith(constants, { analysis, pods, torus }, on = chip) {
  const calibrated = { ...on.calibrated, ...constants };
  const simulation = simulateAnalysed(analysis, { chip: { ...on, calibrated }, pods, torus });
  return 100 * utilisation(simulation, simulation.flops.weights + simulation.flops.attention);
}

/** @param {readonly number[]} x @param {typeof runs[number]} run */
const predict = (x, run) => predictWith(Object.fromEntries(fitted.map(({ name }, i) => [name, x[i] ?? 0])), run);

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

process.stderr.write("fit v4\n");
/** @param {readonly number[]} x @param {typeof runsV4[number]} run */
const predictV4 = (x, run) => predictWith(Object.fromEntries(fittedV4.map(({ name }, i) => [name, x[i] ?? 0])), run, chipV4);
const constantsV4 = leastSquares(
  (x) => runsV4.filter((run) => run.fitted).map((run) => Math.log(predictV4(x, run) / run.mfu)),
  fittedV4,
).map((value) => Number(value.toPrecision(3)));

const tableV4 = [
  "| constant of v4 | value |",
  "|---|---|",
  ...fittedV4.map(({ name }, i) => `| ${name} | ${constantsV4[i]} |`),
  "",
  "| run on v4 | slices | measured MFU | predicted | residual | |",
  "|---|---|---|---|---|---|",
  ...runsV4.map((run) => {
    const predicted = predictV4(constantsV4, run);
    return `| ${run.job} | ${run.pods} | ${run.mfu.toFixed(1)} | ${predicted.toFixed(1)} | ${residual(predicted, run.mfu)} | ${run.fitted ? "fitted" : "predicted"} |`;
  }),
].join("\n");

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
process.stdout.write(`${table}\n\n${tableV4}\n`);

if (process.argv.includes("--write")) {
  for (const name of readdirSync(join(configsDir, "chips"))) {
    const file = join(configsDir, "chips", name);
    /** @type {Readonly<Record<string, number | undefined>>} */
    const values = {
      ...Object.fromEntries(fitted.map(({ name: constant }, i) => [constant, constants[i]])),
      ...(name === "v4.yaml" ? Object.fromEntries(fittedV4.map(({ name: constant }, i) => [constant, constantsV4[i]])) : {}),
    };
    const text = Object.entries(values).reduce(
      (all, [constant, value]) => all.replace(new RegExp(`^(\\s+${constant}: )\\S+`, "m"), `$1${value}`),
      readFileSync(file, "utf8"),
    );
    writeFileSync(file, text);
  }
  const docs = join(root, "docs/simulator.md");
  writeFileSync(
    docs,
    readFileSync(docs, "utf8").replace(/(<!-- calibration -->\n)[\s\S]*?(\n<!-- end of calibration -->)/, `$1\n${table}\n\n${tableV4}\n$2`),
  );
}
