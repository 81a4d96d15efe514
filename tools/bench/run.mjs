#!/usr/bin/env node
/**
 * `npm run bench`: Lapidary and JAX in turn on the same model, batch, mesh and precision. The results are ratios, because times depend on the machine.
 *
 * Both sides run on the same cores. Lapidary has one single-threaded worker for each core.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { readFlags } from "../flags.mjs";
import { provideJax } from "../xla/venv.mjs";
import { processorFlags } from "../setup/kernels.mjs";
import { Report } from "../setup/report.mjs";
import { Session, projectRoot } from "../setup/session.mjs";
import { chipsOf, flopOf, nameOf, parseMeshText } from "./case.mjs";
import { checkData, dataTable, measureData } from "./data.mjs";
import { measureDurability } from "./durability.mjs";
import { goals, grid, gridLimits, llama4d, checkGoal, checkDurability } from "./goals.mjs";
import { generateModels, measureGenerate, printGenerate } from "./generate.mjs";
import { Jax, median } from "./jax.mjs";
import { Ours } from "./ours.mjs";
import { printCase, printDurability, printGrid, printLayout, writeBenchmarkPart, writeBenchmarks } from "./report.mjs";
import { measurePeak } from "./peak-flops.mjs";
import { waitForIdle } from "./wait-for-idle.mjs";

/** Approximate time of a repetition, which has at least one step. */
const burst_s = 2.5;
const cores = 2;

const { values } = readFlags(
  `npm run bench                                                all goals, and steps on pods of three sizes; writes this processor's section of docs/benchmarks.md
npm run bench -- --case micro --mesh 16x16 --pairs 3 --json  one case; also --batch N, --numerics f32|mxu, --remat POLICY
npm run bench -- --case llama-4d                              a pipeline on data=4,stage=4,context=4,model=4; writes its part
npm run bench -- --case generate --torch PYTHON              generation; PYTHON has torch and transformers; --skip MODEL,…
npm run bench -- --case data --peer PYTHON                    data stages; PYTHON has datatrove and sentencepiece; writes their table
npm run bench -- --no-jax                                    Lapidary alone
npm run bench -- --skip mini,micro@256x1                     without these: JAX takes 13 GB for them
npm run bench -- --only durability                           the cost of checkpoints and replicas`,
  {
    case: { type: "string" },
    mesh: { type: "string", default: "16x16" },
    batch: { type: "count" },
    numerics: { type: "string", default: "f32", among: ["f32", "mxu"] },
    remat: { type: "string" },
    pairs: { type: "count", default: "5" },
    skip: { type: "string", default: "" },
    only: { type: "string", among: ["durability"] },
    torch: { type: "string" },
    peer: { type: "string" },
    jax: { type: "boolean", default: true },
    json: { type: "boolean", default: false },
  },
);

const session = new Session({ report: new Report({ quiet: values.json }) });
session.catchSignals();
const say = (/** @type {string} */ text) => {
  if (!values.json) process.stdout.write(`${text}\n`);
};
const pinned = pin(process.pid, cores);
const workers = Math.min(cores, availableParallelism());
const pairs = Number(values.pairs);
const bf16 = /\b(amx_bf16|avx512_bf16)\b/.test(processorFlags());
const skipped = values.skip.split(",");

/** @typedef {import("./case.mjs").Case} Case */
/** @typedef {Awaited<ReturnType<typeof measure>>} Measured */

if (values.case === "generate") {
  const found = [];
  for (const model of generateModels.filter((name) => !skipped.includes(name))) {
    const task = session.report.begin(`generate ${model}`, "measuring");
    const tell = (/** @type {string} */ what) => task.update(what);
    const measured = await measureGenerate(model, { workers, pairs, python: values.torch, tell });
    task.end("measured");
    found.push(measured);
    say(printGenerate(measured));
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ generate: found, load: loadavg()[0] })}\n`);
} else if (values.case === "data") {
  const task = session.report.begin("data", "measuring");
  const report = await measureData({ python: values.peer, pairs, tell: (what) => task.update(what) });
  task.end("measured");
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  say(dataTable(report));
  if (values.peer !== undefined) writeBenchmarkPart(projectRoot, "Training data", dataTable(report));
  conclude(checkData(report));
} else if (values.case === llama4d.case.model) {
  const found = await measure(llama4d.case, values.jax ? await provideJax(session) : undefined);
  const verdicts = checkGoal(llama4d, found);
  if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else say(printCase(found, verdicts));
  if (values.jax) writeBenchmarkPart(projectRoot, "Llama on a mesh of four axes", printLayout(found, llama4d.case, verdicts));
  conclude(verdicts);
} else if (values.case !== undefined) {
  const mesh = parseMeshText(values.mesh);
  const numerics = /** @type {"f32" | "mxu"} */ (values.numerics);
  const which = { model: values.case, mesh, batch: Number(values.batch ?? Math.max(16, mesh[0])), numerics };
  const goal = goals.find(({ case: known }) => nameOf(known) === nameOf(which)) ?? { case: which };
  const found = await measure(which, values.jax ? await provideJax(session) : undefined);
  if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else say(printCase(found));
  conclude(checkGoal(goal, found));
} else if (values.only !== undefined) {
  const durability = await measureDurability(pairs);
  say(printDurability(durability));
  if (values.json) process.stdout.write(`${JSON.stringify(durability)}\n`);
  conclude(checkDurability(durability));
} else {
  const python = values.jax ? await provideJax(session) : undefined;
  const peak = await measurePeak(workers);
  say(
    `${workers} workers${pinned === undefined ? "" : ` on cores ${pinned}`}; peak of matmuls: ${peak.toFixed(0)} GFLOP/s in f32, all cores together`,
  );
  /** @type {{ found: Measured, verdicts: import("./goals.mjs").Verdict[] }[]} */
  const measured = [];
  for (const goal of python === undefined ? [] : goals) {
    if (skipped.includes(goal.case.model) || skipped.includes(`${goal.case.model}@${goal.case.mesh.join("x")}`)) continue;
    if (goal.case.numerics === "mxu" && !bf16) {
      say(`${nameOf(goal.case)}: skipped, because this processor has no bf16 units`);
      continue;
    }
    const found = await measure(goal.case, python, peak);
    const verdicts = checkGoal(goal, found);
    measured.push({ found, verdicts });
    say(printCase(found, verdicts));
  }
  const rows = await measureGrid(peak);
  say(printGrid(rows));
  const durability = skipped.includes("durability") ? undefined : await measureDurability(pairs);
  if (durability !== undefined) say(printDurability(durability));
  const verdicts = [
    ...measured.flatMap(({ verdicts: some }) => some),
    ...checkGrid(rows),
    ...(durability === undefined ? [] : checkDurability(durability)),
  ];
  if (values.json) process.stdout.write(`${JSON.stringify({ peak_gflops: peak, cases: measured, grid: rows, durability })}\n`);
  if (python !== undefined) writeBenchmarks(projectRoot, { peak, pinned, workers, pairs, measured, rows, durability, verdicts });
  conclude(verdicts);
}
process.exit(0);

/** @param {readonly import("./goals.mjs").Verdict[]} verdicts */
function conclude(verdicts) {
  for (const { what, met } of verdicts) if (!met) say(`missed: ${what}`);
  if (verdicts.length > 0)
    say(`${verdicts.filter(({ met }) => met).length} goals met, ${verdicts.filter(({ met }) => !met).length} missed`);
}

/**
 * Measures one case: Lapidary in turn with JAX on one device, then in turn with JAX on all devices of the mesh (in sequence, to save memory). A
 * repetition is a burst of steps of Lapidary and a burst of JAX.
 * @param {Case} which
 * @param {string | undefined} python
 * @param {number} [peak]
 */
async function measure(which, python, peak) {
  const task = session.report.begin(nameOf(which), "measuring");
  const ours = await Ours.start(which, { workers, ...(values.remat === undefined ? {} : { remat: values.remat }) });
  /** @type {number[]} */
  const ours_s = [];
  /** @type {number[]} */
  const ours_cpu_s = [];
  /** @type {import("./ours.mjs").Split[]} */
  const splits = [];
  await waitForIdle();
  const probe = await ours.burst(1);
  const steps = stepsFor(probe.seconds);
  const runOurs = async () => {
    await waitForIdle();
    const { seconds, cpu_s, split } = await ours.burst(steps);
    ours_s.push(seconds);
    ours_cpu_s.push(cpu_s);
    splits.push(split);
    return seconds;
  };
  /** @param {Parameters<typeof Jax.start>[2]} layout @param {string} what */
  const against = async (layout, what) => {
    if (python === undefined) return undefined;
    task.update(`starting ${what}`);
    const jax = await Jax.start(python, ours.job, layout, (phase) => task.update(`${what}: ${phase}`));
    const { seconds: first } = await jax.burst(1);
    /** @type {number[]} */
    const seconds = [];
    /** @type {number[]} */
    const cpu_s = [];
    /** @type {number[]} */
    const factors = [];
    for (let pair = 0; pair < pairs; pair++) {
      task.update(`${what}: pair ${pair + 1} of ${pairs}`);
      const own = await runOurs();
      await waitForIdle();
      const { seconds: other, cpu_s: cpu } = await jax.burst(stepsFor(first));
      seconds.push(other);
      cpu_s.push(cpu);
      factors.push(own / other);
    }
    await jax.close();
    return { seconds, factors, cpu_s: median(cpu_s), memory_mb: jax.peak_mb };
  };
  const one = which.axes === undefined ? await against({ mesh: [1, 1] }, "JAX on one device") : undefined;
  const many = chipsOf(which) === 1 ? one : await against(which, `JAX on ${chipsOf(which)} devices`);
  if (python === undefined) for (let pair = 0; pair < pairs; pair++) await runOurs();
  const result = summarize({ which, ours, ours_s, ours_cpu_s, splits, one, many, peak });
  await ours.close();
  task.end("measured");
  return result;
}

/** @typedef {{ seconds: number[], factors: number[], cpu_s: number, memory_mb: number }} JaxSide seconds and ratios by pair */

/**
 * @param {{ which: Case, ours: Ours, ours_s: number[], ours_cpu_s: number[], splits: import("./ours.mjs").Split[], one: JaxSide | undefined,
 *   many: JaxSide | undefined, peak: number | undefined }} measured `one`: JAX on one device; `many`: JAX on as many devices as the mesh has chips
 */
function summarize({ which, ours, ours_s, ours_cpu_s, splits, one, many, peak }) {
  const flop = flopOf(/** @type {any} */ (ours.job));
  const seconds = median(ours_s);
  return {
    case: which.model,
    mesh: which.mesh.join("x"),
    batch: which.batch,
    numerics: which.numerics,
    ...(which.remat === undefined ? {} : { remat: which.remat }),
    workers: ours.workers,
    ours_s,
    ...(one === undefined ? {} : { jax1_s: one.seconds, ratio_jax1: median(one.factors), spread_jax1: spreadOf(one.factors) }),
    ...(many === undefined
      ? {}
      : {
          jax256_s: many.seconds,
          ratio_jax256: median(many.factors.map((f) => 1 / f)),
          spread_jax256: spreadOf(many.factors.map((f) => 1 / f)),
        }),
    cpu_ours_s: median(ours_cpu_s),
    ...(one === undefined ? {} : { cpu_jax1_s: one.cpu_s }),
    ...(many === undefined ? {} : { cpu_jax256_s: many.cpu_s }),
    load: loadavg()[0],
    rss_ours_mb: Math.round(ours.peak_mb),
    ...(one === undefined ? {} : { rss_jax1_mb: Math.round(one.memory_mb) }),
    ...(many === undefined ? {} : { rss_jax256_mb: Math.round(many.memory_mb) }),
    split_ms: meanSplit(splits),
    gflop: flop / 1e9,
    gflops: flop / 1e9 / seconds,
    ...(peak === undefined ? {} : { peak_gflops: peak }),
    compile_s: ours.compile_s,
    load_s: ours.load_s,
    losses_finite: ours.losses.every(Number.isFinite),
  };
}

/** @param {number} seconds of a step */
function stepsFor(seconds) {
  return Math.max(1, Math.min(40, Math.round(burst_s / seconds)));
}

/** @param {readonly number[]} factors @returns {readonly [number, number]} smallest and largest */
function spreadOf(factors) {
  return [Math.min(...factors), Math.max(...factors)];
}

/** @param {readonly import("./ours.mjs").Split[]} splits */
function meanSplit(splits) {
  const mean = (/** @type {keyof import("./ours.mjs").Split} */ key) => splits.reduce((sum, split) => sum + split[key], 0) / splits.length;
  return {
    gemm: mean("gemm"),
    fused: mean("fused"),
    other: mean("other"),
    wait: mean("wait"),
    // A single garbage collection, or another process, would dominate a mean.
    dispatch: median(splits.map(({ dispatch }) => dispatch)),
    coordinator: mean("coordinator"),
    idle: mean("idle"),
  };
}

/** The same step on meshes of three sizes, in turn. @param {number} peak */
async function measureGrid(peak) {
  const rows = [];
  for (const model of grid.models) {
    if (skipped.includes(model)) continue;
    const task = session.report.begin(model, "on pods of three sizes");
    const all = [];
    for (const mesh of grid.meshes)
      all.push({
        mesh,
        ours: await Ours.start({ model, mesh, batch: grid.batch, numerics: "f32" }, { workers }),
        /** @type {number[]} */ seconds: [],
      });
    for (let pair = 0; pair < pairs; pair++) {
      for (const { ours, seconds } of all) {
        await waitForIdle();
        seconds.push((await ours.burst(stepsFor(seconds[0] ?? 1))).seconds);
      }
    }
    for (const { mesh, ours, seconds } of all) {
      const flop = flopOf(/** @type {any} */ (ours.job));
      const step_s = median(seconds);
      rows.push({
        model,
        mesh: mesh.join("x"),
        workers: ours.workers,
        step_s,
        spread_s: spreadOf(seconds),
        gflops: flop / 1e9 / step_s,
        fractionOfPeak: flop / 1e9 / step_s / ((peak * ours.workers) / workers),
        memory_mb: Math.round(ours.peak_mb),
      });
      await ours.close();
    }
    task.end("measured");
  }
  return rows;
}

/** @param {Awaited<ReturnType<typeof measureGrid>>} rows */
function checkGrid(rows) {
  const at = (/** @type {string} */ model, /** @type {string} */ mesh) =>
    rows.find((row) => row.model === model && row.mesh === mesh)?.step_s ?? NaN;
  const overOne = at("micro", "16x16") / at("micro", "1x1");
  return [
    {
      what: `micro on 16x16 takes ${overOne.toFixed(2)} of its time on 1x1 (goal at most ${gridLimits.overOne})`,
      met: overOne <= gridLimits.overOne,
    },
    ...grid.models
      .filter((model) => !skipped.includes(model))
      .map((model) => {
        const ratio = at(model, "16x16") / at(model, "4x4");
        return {
          what: `${model} on 16x16 takes ${ratio.toFixed(2)} of its time on 4x4 (goal within ${gridLimits.between})`,
          met: Math.abs(ratio - 1) <= gridLimits.between,
        };
      }),
  ];
}

/** Pins this process and its children to some cores. @param {number} pid @param {number} count @returns {string | undefined} the cores, if they could be chosen */
function pin(pid, count) {
  try {
    const allowed = /list: (.*)$/m.exec(execFileSync("taskset", ["-pc", String(pid)], { encoding: "utf8" }))?.[1] ?? "";
    const list = allowed.split(",").flatMap((range) => {
      const [from = 0, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
    const chosen = list.slice(0, count).join(",");
    // -a pins also the threads that Node has already started.
    execFileSync("taskset", ["-apc", chosen, String(pid)], { stdio: "ignore" });
    return chosen;
  } catch {
    return undefined;
  }
}
