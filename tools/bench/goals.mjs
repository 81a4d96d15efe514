/** Goals of the benchmark, as ratios of medians of paired runs. */
import { nameOf } from "./case.mjs";

/**
 * @typedef {object} Goal
 * @property {import("./case.mjs").Case} case
 * @property {number} [timesJaxMany] minimum speedup over JAX on as many devices
 * @property {number} [ofTorch] maximum fraction of the time of PyTorch
 * @property {number} [ofPeak] minimum share of the peak of matmuls that a whole step reaches
 * @property {number} [ofJaxOne] maximum fraction of the time of JAX on one device
 * @property {number} [memory] maximum fraction of the memory of JAX on as many devices
 */

/** @type {readonly Goal[]} */
export const goals = [
  { case: { model: "nano16", mesh: [16, 16], batch: 16, numerics: "f32" }, ofTorch: 0.8, timesJaxMany: 20, memory: 1 / 2 },
  {
    case: { model: "micro", mesh: [16, 16], batch: 16, numerics: "f32" },
    ofTorch: 0.75,
    ofPeak: 0.85,
    timesJaxMany: 6,
    ofJaxOne: 0.5,
    memory: 1 / 3,
  },
  { case: { model: "micro", mesh: [16, 16], batch: 16, numerics: "mxu", remat: "none" }, timesJaxMany: 9, ofJaxOne: 0.33 },
  {
    case: { model: "mini", mesh: [16, 16], batch: 16, numerics: "f32" },
    ofTorch: 0.75,
    ofPeak: 0.85,
    timesJaxMany: 3.5,
    ofJaxOne: 0.55,
    memory: 1 / 4,
  },
  { case: { model: "mini", mesh: [16, 16], batch: 16, numerics: "mxu" }, timesJaxMany: 6, ofJaxOne: 0.3 },
  { case: { model: "nano", mesh: [256, 1], batch: 256, numerics: "f32" }, ofTorch: 0.7, timesJaxMany: 10, ofJaxOne: 0.5 },
  { case: { model: "micro", mesh: [256, 1], batch: 256, numerics: "f32" }, ofTorch: 0.7, timesJaxMany: 2.3, ofJaxOne: 0.55, memory: 1 / 3 },
];

/** A Llama on a mesh of four axes, compared with a pipeline of JAX with the same layout on as many devices. @type {Goal} */
export const llama4d = {
  case: {
    model: "llama-4d",
    mesh: [4, 4, 4, 4],
    axes: ["data", "stage", "context", "model"],
    microbatches: 4,
    batch: 16,
    numerics: "f32",
  },
  timesJaxMany: 5,
};

/** Without JAX: the same steps on pods of three sizes. */
export const grid = {
  models: ["nano16", "micro", "mini"],
  meshes: /** @type {const} */ ([
    [1, 1],
    [4, 4],
    [16, 16],
  ]),
  batch: 16,
};

/** `overOne`: maximum time of micro on 16×16, as a multiple of its time on 1×1. `between`: maximum relative difference of 16×16 and 4×4. */
export const gridLimits = { overOne: 1.5, between: 0.1 };

/** The same global batch on 256 chips and on many. The batch is a multiple of the chips of pod × data. */
export const chipCounts = {
  model: "nano16",
  pairs: /** @type {const} */ ([
    {
      batch: 256,
      meshes: [
        [16, 16],
        [16, 16, 16],
      ],
    },
    {
      batch: 1024,
      meshes: [
        [16, 16],
        [64, 16, 16],
      ],
    },
  ]),
};

/** Maximum step time and memory on 4096 chips, as multiples of those on 256 chips. */
export const chipLimit = 1.1;

/** @typedef {{ readonly what: string, readonly met: boolean }} Verdict */

/**
 * @param {Goal} goal
 * @param {{ ratio_torch?: number | undefined, share_of_peak?: number | undefined, ratio_jax256?: number | undefined,
 *   ratio_jax1?: number | undefined, rss_ours_mb: number, rss_jax256_mb?: number | undefined }} found
 * @returns {Verdict[]}
 */
export function checkGoal({ case: which, ofTorch, ofPeak, timesJaxMany, ofJaxOne, memory }, found) {
  /** @type {Verdict[]} */
  const verdicts = [];
  if (ofTorch !== undefined && found.ratio_torch !== undefined)
    verdicts.push({
      what: `${found.ratio_torch.toFixed(2)} of the time of PyTorch (goal ${ofTorch})`,
      met: found.ratio_torch <= ofTorch,
    });
  if (ofPeak !== undefined && found.share_of_peak !== undefined)
    verdicts.push({
      what: `${(100 * found.share_of_peak).toFixed(0)} % of the peak of matmuls (goal ${100 * ofPeak} %)`,
      met: found.share_of_peak >= ofPeak,
    });
  if (timesJaxMany !== undefined && found.ratio_jax256 !== undefined)
    verdicts.push({
      what: `${found.ratio_jax256.toFixed(1)}× faster than JAX on as many devices (goal ${timesJaxMany})`,
      met: found.ratio_jax256 >= timesJaxMany,
    });
  if (ofJaxOne !== undefined && found.ratio_jax1 !== undefined)
    verdicts.push({
      what: `${found.ratio_jax1.toFixed(2)} of the time of JAX on one device (goal ${ofJaxOne})`,
      met: found.ratio_jax1 <= ofJaxOne,
    });
  if (memory !== undefined && found.rss_jax256_mb !== undefined) {
    const part = found.rss_ours_mb / found.rss_jax256_mb;
    verdicts.push({ what: `${part.toFixed(2)} of its memory (goal ${memory.toFixed(2)})`, met: part <= memory });
  }
  return verdicts.map(({ what, met }) => ({ what: `${nameOf(which)}: ${what}`, met }));
}

/** Maximum fractions of a step that a checkpoint after every step, and replicas, may take. */
export const durabilityLimits = { checkpoints: 0.05, copies: 0.03 };

/** @param {import("./durability.mjs").Durability} durability @returns {Verdict[]} */
export function checkDurability({ checkpoints, copies }) {
  const percent = (/** @type {number} */ part) => (100 * part).toFixed(1);
  return [
    {
      what: `micro with a checkpoint after every step (${checkpoints.written.toFixed(0)} written) takes ${percent(checkpoints.wall)} % longer (goal at most ${100 * durabilityLimits.checkpoints})`,
      met: checkpoints.wall <= durabilityLimits.checkpoints,
    },
    {
      what: `micro with replicas in the memory of workers takes ${percent(copies.wall)} % longer (goal at most ${100 * durabilityLimits.copies})`,
      met: copies.wall <= durabilityLimits.copies,
    },
  ];
}

/**
 * @param {readonly { readonly model: string, readonly mesh: string, readonly step_s: number }[]} rows of `grid`
 * @param {readonly string[]} skipped models that were not measured
 * @returns {Verdict[]}
 */
export function checkGrid(rows, skipped) {
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

/**
 * Only 4096 chips have a goal.
 * @param {readonly { readonly model: string, readonly chips: number, readonly ofFirst: number, readonly cpuOfFirst: number, readonly memoryOfFirst: number }[]} rows
 *   `ofFirst`, `cpuOfFirst` and `memoryOfFirst`: step time, processor time and memory as multiples of those on 256 chips with the same batch
 * @returns {Verdict[]}
 */
export function checkChips(rows) {
  return rows
    .filter(({ chips }) => chips === 4096)
    .flatMap(({ model, chips, ofFirst, cpuOfFirst, memoryOfFirst }) => {
      const than = `that on 256 chips (goal at most ${chipLimit})`;
      return [
        { what: `step time of ${model} on ${chips} chips: ${ofFirst.toFixed(2)} times ${than}`, met: ofFirst <= chipLimit },
        { what: `processor time of ${model} on ${chips} chips: ${cpuOfFirst.toFixed(2)} times ${than}`, met: cpuOfFirst <= chipLimit },
        { what: `memory of ${model} on ${chips} chips: ${memoryOfFirst.toFixed(2)} times ${than}`, met: memoryOfFirst <= chipLimit },
      ];
    });
}
