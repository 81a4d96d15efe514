/** Results of a benchmark as lines of text, and as docs/benchmarks.md. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { processorFlags } from "../setup/kernels.mjs";
import { instructionsOf, paragraphs, withPart, withSection } from "./benchmarks-md.mjs";

const seconds = (/** @type {number | undefined} */ s) =>
  s === undefined ? "" : s < 0.1 ? `${(s * 1000).toFixed(1)} ms` : `${s.toFixed(2)} s`;
const middle = (/** @type {readonly number[] | undefined} */ list) =>
  list === undefined ? undefined : [...list].sort((a, b) => a - b)[list.length >> 1];
const range = (/** @type {readonly number[] | undefined} */ pair, digits = 2) =>
  pair === undefined ? "" : `${pair[0]?.toFixed(digits)}–${pair[1]?.toFixed(digits)}`;
const gigabytes = (/** @type {number | undefined} */ mb) => (mb === undefined ? "" : `${(mb / 1024).toFixed(2)} GB`);

/** @param {any} found @param {readonly import("./goals.mjs").Verdict[]} verdicts */
export function printCase(found, verdicts = []) {
  const { split_ms: split } = found;
  return [
    `${found.case} ${found.mesh} b${found.batch} ${found.numerics}: step ${seconds(middle(found.ours_s))} (${range([Math.min(...found.ours_s), Math.max(...found.ours_s)], 3)} s), ${found.gflops.toFixed(0)} GFLOP/s, memory ${gigabytes(found.rss_ours_mb)}; compile ${found.compile_s.toFixed(2)} s, load ${found.load_s.toFixed(2)} s`,
    `    split: GEMM ${split.gemm.toFixed(1)}, fused ${split.fused.toFixed(1)}, other kernels ${(split.other - split.fused).toFixed(1)}, fabric wait ${split.wait.toFixed(1)}, idle ${split.idle.toFixed(1)} ms; dispatch ${split.dispatch.toFixed(2)} ms, all CPU of the coordinator ${split.coordinator.toFixed(1)} ms`,
    ...(found.jax1_s === undefined
      ? []
      : [
          `    JAX on one device ${seconds(middle(found.jax1_s))}: ours takes ${found.ratio_jax1.toFixed(2)} of it (${range(found.spread_jax1)})`,
        ]),
    ...(found.jax256_s === undefined
      ? []
      : [
          `    JAX on the mesh ${seconds(middle(found.jax256_s))}: ours is ${found.ratio_jax256.toFixed(1)}× faster (${range(found.spread_jax256, 1)}); memory ${gigabytes(found.rss_jax256_mb)}`,
        ]),
    `    CPU a step: ours ${seconds(found.cpu_ours_s)}${found.cpu_jax1_s === undefined ? "" : `, JAX on one device ${seconds(found.cpu_jax1_s)}, on the mesh ${seconds(found.cpu_jax256_s)}`}`,
    ...verdicts.map(({ what, met }) => `    ${met ? "met" : "MISSED"}: ${what}`),
  ].join("\n");
}

/**
 * A case with a mesh of its own axes, as a part of docs/benchmarks.md.
 * @param {any} found @param {import("./case.mjs").Case} which @param {readonly import("./goals.mjs").Verdict[]} verdicts
 */
export function printLayout(found, { axes = [], mesh, microbatches, batch }, verdicts) {
  const times = `JAX on the mesh ${seconds(middle(found.jax256_s))} (${seconds(found.cpu_jax256_s)} of processor time)`;
  return [
    paragraphs(
      `${new Date().toISOString().slice(0, 10)}, \`npm run bench -- --case ${found.case}\`: ${axes.map((axis, i) => `${axis}=${mesh[i]}`).join(",")}, ${microbatches} microbatches, batch ${batch}, ${found.numerics}. JAX runs a GPipe loop with the same layout. Load of the machine at the end: ${found.load.toFixed(1)}.`,
    ),
    "",
    `- Lapidary ${seconds(middle(found.ours_s))} a step (${seconds(found.cpu_ours_s)} of processor time)`,
    `- ${times}: ${found.ratio_jax256.toFixed(1)}× as long (${range(found.spread_jax256, 1)}), ${(found.cpu_jax256_s / found.cpu_ours_s).toFixed(1)}× the processor time`,
    `- memory: ${gigabytes(found.rss_ours_mb)}, JAX ${gigabytes(found.rss_jax256_mb)}`,
    ...verdicts.map(({ what, met }) => `- ${met ? "met" : "**missed**"}: ${what}`),
  ].join("\n");
}

/** @param {readonly any[]} rows */
export function printGrid(rows) {
  return rows
    .map(
      (row) =>
        `${row.model.padEnd(8)} ${row.mesh.padEnd(6)} ${row.workers} worker${row.workers === 1 ? " " : "s"}  step ${seconds(row.step_s).padStart(8)}  ${row.gflops.toFixed(0).padStart(4)} GFLOP/s  memory ${gigabytes(row.memory_mb)}`,
    )
    .join("\n");
}

/** @param {import("./durability.mjs").Durability} durability */
export const printDurability = ({ checkpoints, copies }) =>
  [
    `micro on 16x16 in a job: ${milliseconds(checkpoints.without_s)} a step, ${milliseconds(checkpoints.with_s)} with a checkpoint after every step (${checkpoints.written.toFixed(0)} written): ${percent(checkpoints.wall)} more, ${percent(checkpoints.cpu)} (${checkpoints.cpu_ms.toFixed(0)} ms) by processor time of all processes; the host took ${checkpoints.stolen_ms.toFixed(0)} ms more of all cores.`,
    `Replicas in the memory of workers, after every ${copies.every === 1 ? "step" : `${copies.every} steps`}: ${milliseconds(copies.without_s)} a step, ${milliseconds(copies.with_s)} with them: ${percent(copies.wall)} more, ${percent(copies.cpu)} (${copies.cpu_ms.toFixed(0)} ms) by processor time.`,
  ].join("\n");

const percent = (/** @type {number} */ part) => `${(100 * part).toFixed(1)} %`;
const milliseconds = (/** @type {number} */ s) => `${(1000 * s).toFixed(0)} ms`;

/**
 * @param {string} root
 * @param {{ peak: number, pinned: string | undefined, workers: number, pairs: number, measured: readonly { found: any, verdicts: readonly import("./goals.mjs").Verdict[] }[], rows: readonly any[], durability: import("./durability.mjs").Durability | undefined, verdicts: readonly import("./goals.mjs").Verdict[] }} results
 */
export function writeBenchmarks(root, { peak, pinned, workers, pairs, measured, rows, durability, verdicts }) {
  const met = verdicts.filter((verdict) => verdict.met).length;
  const table = (/** @type {readonly string[]} */ head, /** @type {readonly (readonly string[])[]} */ lines) =>
    [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  const text = `${new Date().toISOString().slice(0, 10)}, ${pairs} repetitions each, ${pinned === undefined ? `${workers} cores` : `cores ${pinned}`}, ${(totalmem() / 2 ** 30).toFixed(0)} GB, Linux ${release()}, ${workers} single-threaded workers.
Peak of these cores in f32 (matmuls of TensorFlow): ${peak.toFixed(0)} GFLOP/s.

${table(
  ["case", "ours", "JAX, 1 device", "JAX, all devices", "of 1 device", "faster than all", "memory ours", "memory JAX", "GFLOP/s", "goals"],
  measured.map(({ found, verdicts: some }) => [
    `${found.case} ${found.mesh} b${found.batch} ${found.numerics}${found.remat === undefined ? "" : `, remat ${found.remat}`}`,
    seconds(middle(found.ours_s)),
    seconds(middle(found.jax1_s)),
    seconds(middle(found.jax256_s)),
    `${found.ratio_jax1?.toFixed(2)} (${range(found.spread_jax1)})`,
    `${found.ratio_jax256?.toFixed(1)}× (${range(found.spread_jax256, 1)})`,
    gigabytes(found.rss_ours_mb),
    gigabytes(found.rss_jax256_mb),
    found.gflops.toFixed(0),
    some.map((verdict) => (verdict.met ? "met" : "missed")).join(", "),
  ]),
)}

CPU time of a step, all processes and threads together. Other work on the machine changes it less than the time of a step.
The last column is the load average during the case.

${table(
  ["case", "ours", "JAX, 1 device", "JAX, all devices", "of 1 device", "less than all", "load"],
  measured.map(({ found }) => [
    `${found.case} ${found.mesh} b${found.batch} ${found.numerics}`,
    seconds(found.cpu_ours_s),
    seconds(found.cpu_jax1_s),
    seconds(found.cpu_jax256_s),
    (found.cpu_ours_s / found.cpu_jax1_s).toFixed(2),
    `${(found.cpu_jax256_s / found.cpu_ours_s).toFixed(1)}×`,
    found.load.toFixed(1),
  ]),
)}

Parts of a step, in milliseconds of a worker. *dispatch* is the CPU time that sending a step takes (median of steps), which is
hidden because steps are sent ahead. *coordinator* is all CPU time of the dispatching process.

${table(
  ["case", "GEMM", "fused", "other kernels", "fabric wait", "idle", "dispatch", "coordinator", "compile", "load"],
  measured.map(({ found }) => [
    `${found.case} ${found.mesh} ${found.numerics}`,
    ...[
      found.split_ms.gemm,
      found.split_ms.fused,
      found.split_ms.other - found.split_ms.fused,
      found.split_ms.wait,
      found.split_ms.idle,
    ].map((ms) => ms.toFixed(1)),
    found.split_ms.dispatch.toFixed(2),
    found.split_ms.coordinator.toFixed(1),
    `${found.compile_s.toFixed(2)} s`,
    `${found.load_s.toFixed(2)} s`,
  ]),
)}

The same step on pods of three sizes, batch 16. A mesh of one chip has one worker.

${table(
  ["model", "mesh", "workers", "step", "GFLOP/s", "of peak", "memory"],
  rows.map((row) => [
    row.model,
    row.mesh,
    String(row.workers),
    seconds(row.step_s),
    row.gflops.toFixed(0),
    `${(row.fractionOfPeak * 100).toFixed(0)} %`,
    gigabytes(row.memory_mb),
  ]),
)}

${durability === undefined ? "" : `${paragraphs(printDurability(durability))}\n`}
${verdicts.map(({ what, met: isMet }) => `- ${isMet ? "met" : "**missed**"}: ${what}`).join("\n")}

${met} goals met, ${verdicts.length - met} missed.
`;
  mkdirSync(join(root, "docs"), { recursive: true });
  const path = join(root, "docs/benchmarks.md");
  writeFileSync(path, withSection(existsSync(path) ? readFileSync(path, "utf8") : "", processorKind(), text));
}

/** The name of the section of this processor. */
const processorKind = () => `${cpus()[0]?.model ?? "?"}, ${instructionsOf(processorFlags())}`;

/** Writes one part of the section of this processor. @param {string} root @param {string} title @param {string} body */
export function writeBenchmarkPart(root, title, body) {
  const path = join(root, "docs/benchmarks.md");
  writeFileSync(path, withPart(existsSync(path) ? readFileSync(path, "utf8") : "", processorKind(), title, body));
}
