#!/usr/bin/env node
/**
 * `npm run bench`: Lapidary, JAX and PyTorch in turn on the same model, batch and precision. The results are ratios, because times depend on the machine.
 *
 * All sides run on the same cores. Lapidary has one single-threaded worker for each core, and PyTorch one thread.
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { readFlags } from "../flags.mjs";
import { findCachedPython, provideCachedPython } from "../cached-python.mjs";
import { provideJax } from "../xla/venv.mjs";
import { processorFlags } from "../setup/kernels.mjs";
import { Report } from "../setup/report.mjs";
import { Session, projectRoot } from "../setup/session.mjs";
import { chipsOf, flopOf, nameOf, parseMeshText } from "./case.mjs";
import { checkData, dataTable, measureData } from "./data.mjs";
import { measureDurability } from "./durability.mjs";
import { chipCounts, checkChips, checkDurability, checkGoal, checkGrid, goals, grid, llama4d } from "./goals.mjs";
import { generateModels, measureGenerate, printGenerate } from "./generate.mjs";
import { median } from "../median.mjs";
import { Peer } from "./peer.mjs";
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
npm run bench -- --case generate                             generation; --skip MODEL,…
npm run bench -- --case data --peer PYTHON                    data stages; PYTHON has datatrove and sentencepiece; writes their table
npm run bench -- --install-torch                             first installs PyTorch and transformers (5 GB) in the cache
npm run bench -- --torch PYTHON                              PYTHON has torch and transformers
npm run bench -- --no-jax                                    without JAX; with --no-peers, Lapidary alone
npm run bench -- --skip mini,micro@256x1                     without these: JAX takes 13 GB for them
npm run bench -- --only durability                           the cost of checkpoints and replicas
npm run bench -- --only chips                                nano16 on 256, 4096 and 16384 chips`,
  {
    case: { type: "string" },
    mesh: { type: "string", default: "16x16" },
    batch: { type: "count" },
    numerics: { type: "string", default: "f32", among: ["f32", "mxu"] },
    remat: { type: "string" },
    pairs: { type: "count", default: "5" },
    skip: { type: "string", default: "" },
    only: { type: "string", among: ["durability", "chips"] },
    torch: { type: "string" },
    "install-torch": { type: "boolean", default: false },
    peers: { type: "boolean", default: true },
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
    const measured = await measureGenerate(model, { workers, pairs, python: await torchPython(), tell });
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
  const peers = await peersOf();
  const found = await measure(llama4d.case, peers);
  const verdicts = checkGoal(llama4d, found);
  if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else say(printCase(found, verdicts));
  if (peers.jax !== undefined) writeBenchmarkPart(projectRoot, "Llama on a mesh of four axes", printLayout(found, llama4d.case, verdicts));
  conclude(verdicts);
} else if (values.case !== undefined) {
  const mesh = parseMeshText(values.mesh);
  const numerics = /** @type {"f32" | "mxu"} */ (values.numerics);
  const which = { model: values.case, mesh, batch: Number(values.batch ?? Math.max(16, mesh.at(-2) ?? 1)), numerics };
  const goal = goals.find(({ case: known }) => nameOf(known) === nameOf(which)) ?? { case: which };
  const found = await measure(which, await peersOf(), await measurePeak(workers));
  if (values.json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else say(printCase(found));
  conclude(checkGoal(goal, found));
} else if (values.only === "chips") {
  const rows = await measureChips();
  say(printGrid(rows));
  if (values.json) process.stdout.write(`${JSON.stringify({ chips: rows })}\n`);
  conclude(checkChips(rows));
} else if (values.only !== undefined) {
  const durability = await measureDurability(pairs);
  say(printDurability(durability));
  if (values.json) process.stdout.write(`${JSON.stringify(durability)}\n`);
  conclude(checkDurability(durability));
} else {
  const peers = await peersOf();
  const peak = await measurePeak(workers);
  say(
    `${workers} workers${pinned === undefined ? "" : ` on cores ${pinned}`}; peak of matmuls: ${peak.toFixed(0)} GFLOP/s in f32, all cores together`,
  );
  /** @type {{ found: Measured, verdicts: import("./goals.mjs").Verdict[] }[]} */
  const measured = [];
  for (const goal of peers.jax === undefined && peers.torch === undefined ? [] : goals) {
    if (skipped.includes(goal.case.model) || skipped.includes(`${goal.case.model}@${goal.case.mesh.join("x")}`)) continue;
    if (goal.case.numerics === "mxu" && !bf16) {
      say(`${nameOf(goal.case)}: skipped, because this processor has no bf16 units`);
      continue;
    }
    const found = await measure(goal.case, peers, peak);
    const verdicts = checkGoal(goal, found);
    measured.push({ found, verdicts });
    say(printCase(found, verdicts));
  }
  const rows = await measureGrid(peak);
  say(printGrid(rows));
  const chips = await measureChips();
  say(printGrid(chips));
  const durability = skipped.includes("durability") ? undefined : await measureDurability(pairs);
  if (durability !== undefined) say(printDurability(durability));
  const verdicts = [
    ...measured.flatMap(({ verdicts: some }) => some),
    ...checkGrid(rows, skipped),
    ...checkChips(chips),
    ...(durability === undefined ? [] : checkDurability(durability)),
  ];
  if (values.json) process.stdout.write(`${JSON.stringify({ peak_gflops: peak, cases: measured, grid: rows, chips, durability })}\n`);
  if (peers.jax !== undefined) writeBenchmarks(projectRoot, { peak, pinned, workers, pairs, measured, rows, chips, durability, verdicts });
  conclude(verdicts);
}
process.exit(0);

/** @param {readonly import("./goals.mjs").Verdict[]} verdicts */
function conclude(verdicts) {
  for (const { what, met } of verdicts) if (!met) say(`missed: ${what}`);
  if (verdicts.length > 0)
    say(`${verdicts.filter(({ met }) => met).length} goals met, ${verdicts.filter(({ met }) => !met).length} missed`);
}

/** The interpreters of both peers. @returns {Promise<{ jax: string | undefined, torch: string | undefined }>} */
async function peersOf() {
  if (!values.peers) return { jax: undefined, torch: undefined };
  return { jax: values.jax ? await provideJax(session) : undefined, torch: await torchPython() };
}

/** PyTorch is large, so it is installed only if the user asks for it. @returns {Promise<string | undefined>} */
async function torchPython() {
  if (values.torch !== undefined) return values.torch;
  if (values["install-torch"]) return provideCachedPython(session, "torch");
  const found = findCachedPython(session, "torch");
  if (found === undefined) say("PyTorch is not installed, so it is not measured. --install-torch installs it (5 GB) in the cache.");
  return found;
}

/**
 * Measures one case: Lapidary in turn with PyTorch, with JAX on one device, and with JAX on all devices of the mesh (in sequence, to save memory). A
 * repetition is a burst of steps of Lapidary and a burst of the peer.
 * @param {Case} which
 * @param {Awaited<ReturnType<typeof peersOf>>} peers
 * @param {number} [peak]
 */
async function measure(which, { jax, torch }, peak) {
  const task = session.report.begin(nameOf(which), "measuring");
  const ours = await Ours.start(which, { workers, ...(values.remat === undefined ? {} : { remat: values.remat }) });
  /** @type {Side} */
  const own = { seconds: [], cpu_s: [], splits: [] };
  await waitForIdle();
  const probe = await ours.burst(1);
  const steps = stepsFor(probe.seconds);
  const runOurs = async () => {
    await waitForIdle();
    const { seconds, cpu_s, split } = await ours.burst(steps);
    own.seconds.push(seconds);
    own.cpu_s.push(cpu_s);
    own.splits.push(split);
    return { seconds, cpu_s };
  };
  /** @param {string} what @param {(onPhase: (phase: string) => void) => Promise<Peer>} start */
  const against = async (what, start) => {
    task.update(`starting ${what}`);
    const peer = await start((phase) => task.update(`${what}: ${phase}`));
    try {
      return await inTurn(peer, runOurs, (pair) => task.update(`${what}: pair ${pair + 1} of ${pairs}`));
    } finally {
      await peer.close();
    }
  };
  /** @param {{ readonly mesh: readonly number[], readonly microbatches?: number }} layout @param {string} what */
  const onMesh = async (layout, what) =>
    jax === undefined ? undefined : against(what, (onPhase) => Peer.jaxSteps(jax, ours.job, layout, onPhase));
  const chips = chipsOf(which.mesh);
  const eager =
    torch === undefined || which.numerics !== "f32" || which.axes !== undefined
      ? undefined
      : await against("PyTorch", (onPhase) => Peer.torchSteps(torch, ours.job, workers, onPhase));
  const one = which.axes === undefined ? await onMesh({ mesh: [1, 1] }, "JAX on one device") : undefined;
  const hasOwnMesh = chips > 1 && (which.mesh.length === 2 || which.axes !== undefined);
  const many = hasOwnMesh ? await onMesh(which, `JAX on ${chips} devices`) : one;
  if (own.seconds.length === 0) for (let pair = 0; pair < pairs; pair++) await runOurs();
  const result = summarize({ which, ours, own, eager, one, many, peak });
  await ours.close();
  task.end("measured");
  return result;
}

/**
 * Runs a burst of ours and a burst of the peer in turn.
 * @param {Peer} peer
 * @param {() => Promise<{ seconds: number, cpu_s: number }>} runOurs
 * @param {(pair: number) => void} onPair
 * @returns {Promise<PeerSide>}
 */
async function inTurn(peer, runOurs, onPair) {
  const { seconds: first } = await peer.burst(1);
  /** @type {{ ours: { seconds: number, cpu_s: number }, other: { seconds: number, cpu_s: number } }[]} */
  const found = [];
  for (let pair = 0; pair < pairs; pair++) {
    onPair(pair);
    const ours = await runOurs();
    await waitForIdle();
    found.push({ ours, other: await peer.burst(stepsFor(first)) });
  }
  return {
    seconds: found.map(({ other }) => other.seconds),
    factors: found.map(({ ours, other }) => ours.seconds / other.seconds),
    cpu_s: median(found.map(({ other }) => other.cpu_s)),
    cpuFactor: median(found.map(({ ours, other }) => ours.cpu_s / other.cpu_s)),
    memory_mb: peer.peak_mb,
  };
}

/** Seconds, processor seconds and parts of our steps, by burst. @typedef {{ seconds: number[], cpu_s: number[], splits: import("./ours.mjs").Split[] }} Side */
/** Seconds and ratios by pair. @typedef {{ seconds: number[], factors: number[], cpu_s: number, cpuFactor: number, memory_mb: number }} PeerSide */

/**
 * @param {{ which: Case, ours: Ours, own: Side, eager: PeerSide | undefined, one: PeerSide | undefined, many: PeerSide | undefined,
 *   peak: number | undefined }} measured `eager`: PyTorch; `one`: JAX on one device; `many`: JAX on as many devices as the mesh has chips
 */
function summarize({ which, ours, own, eager, one, many, peak }) {
  const flop = flopOf(/** @type {any} */ (ours.job));
  const seconds = median(own.seconds);
  return {
    case: which.model,
    mesh: which.mesh.join("x"),
    batch: which.batch,
    numerics: which.numerics,
    ...(which.remat === undefined ? {} : { remat: which.remat }),
    workers: ours.workers,
    ours_s: own.seconds,
    ...(eager === undefined
      ? {}
      : {
          torch_s: eager.seconds,
          ratio_torch: median(eager.factors),
          spread_torch: spreadOf(eager.factors),
          cpu_torch_s: eager.cpu_s,
          cpu_ratio_torch: eager.cpuFactor,
          rss_torch_mb: Math.round(eager.memory_mb),
        }),
    ...(one === undefined ? {} : { jax1_s: one.seconds, ratio_jax1: median(one.factors), spread_jax1: spreadOf(one.factors) }),
    ...(many === undefined
      ? {}
      : {
          jax256_s: many.seconds,
          ratio_jax256: median(many.factors.map((f) => 1 / f)),
          spread_jax256: spreadOf(many.factors.map((f) => 1 / f)),
        }),
    cpu_ours_s: median(own.cpu_s),
    ...(one === undefined ? {} : { cpu_jax1_s: one.cpu_s }),
    ...(many === undefined ? {} : { cpu_jax256_s: many.cpu_s }),
    load: loadavg()[0],
    rss_ours_mb: Math.round(ours.peak_mb),
    ...(one === undefined ? {} : { rss_jax1_mb: Math.round(one.memory_mb) }),
    ...(many === undefined ? {} : { rss_jax256_mb: Math.round(many.memory_mb) }),
    split_ms: meanSplit(own.splits),
    gflop: flop / 1e9,
    gflops: flop / 1e9 / seconds,
    ...(peak === undefined ? {} : { peak_gflops: peak, share_of_peak: flop / 1e9 / seconds / peak }),
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
    for (const row of await measureMeshes(model, grid.meshes, grid.batch))
      rows.push({ ...row, fractionOfPeak: row.gflops / ((peak * row.workers) / workers) });
  }
  return rows;
}

/** The same step on one pod and on many pods, in turn. */
async function measureChips() {
  const rows = [];
  for (const { batch, meshes } of chipCounts.pairs) rows.push(...(await measureMeshes(chipCounts.model, meshes, batch)));
  return rows;
}

/** @param {string} model @param {readonly (readonly number[])[]} meshes @param {number} batch rows of the whole batch */
async function measureMeshes(model, meshes, batch) {
  const task = session.report.begin(model, `on pods of ${meshes.length} sizes`);
  /** @type {{ mesh: readonly number[], ours: Ours, seconds: number[], cpu_s: number[] }[]} */
  const all = [];
  for (const mesh of meshes) {
    task.update(`starting ${mesh.join("x")}`);
    const ours = await Ours.start({ model, mesh, batch, numerics: "f32" }, { workers });
    all.push({ mesh, ours, seconds: [], cpu_s: [] });
  }
  for (let pair = 0; pair < pairs; pair++) {
    task.update(`pair ${pair + 1} of ${pairs}`);
    for (const { ours, seconds, cpu_s } of all) {
      await waitForIdle();
      const burst = await ours.burst(stepsFor(seconds[0] ?? 1));
      seconds.push(burst.seconds);
      cpu_s.push(burst.cpu_s);
    }
  }
  const rows = [];
  for (const { mesh, ours, seconds, cpu_s } of all) {
    const step_s = median(seconds);
    rows.push({
      model,
      mesh: mesh.join("x"),
      chips: chipsOf(mesh),
      batch,
      workers: ours.workers,
      step_s,
      spread_s: spreadOf(seconds),
      cpu_s: median(cpu_s),
      ofFirst: median(seconds.map((s, i) => s / (all[0]?.seconds[i] ?? NaN))),
      cpuOfFirst: median(cpu_s.map((s, i) => s / (all[0]?.cpu_s[i] ?? NaN))),
      memoryOfFirst: ours.peak_mb / (all[0]?.ours.peak_mb ?? NaN),
      gflops: flopOf(/** @type {any} */ (ours.job)) / 1e9 / step_s,
      memory_mb: Math.round(ours.peak_mb),
      compile_s: ours.compile_s,
    });
    await ours.close();
  }
  task.end("measured");
  return rows;
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
