/** Goals of the benchmark, as ratios of medians of paired runs. */
import { nameOf } from "./case.mjs";

/**
 * @typedef {object} Goal
 * @property {import("./case.mjs").Case} case
 * @property {number} [timesJaxMany] minimum speedup over JAX on as many devices
 * @property {number} [ofJaxOne] maximum fraction of the time of JAX on one device
 * @property {number} [memory] maximum fraction of the memory of JAX on as many devices
 */

/** @type {readonly Goal[]} */
export const goals = [
  { case: { model: "nano16", mesh: [16, 16], batch: 16, numerics: "f32" }, timesJaxMany: 20, memory: 1 / 2 },
  { case: { model: "micro", mesh: [16, 16], batch: 16, numerics: "f32" }, timesJaxMany: 6, ofJaxOne: 0.5, memory: 1 / 3 },
  { case: { model: "micro", mesh: [16, 16], batch: 16, numerics: "mxu", remat: "none" }, timesJaxMany: 9, ofJaxOne: 0.33 },
  { case: { model: "mini", mesh: [16, 16], batch: 16, numerics: "f32" }, timesJaxMany: 3.5, ofJaxOne: 0.55, memory: 1 / 4 },
  { case: { model: "mini", mesh: [16, 16], batch: 16, numerics: "mxu" }, timesJaxMany: 6, ofJaxOne: 0.3 },
  { case: { model: "nano", mesh: [256, 1], batch: 256, numerics: "f32" }, timesJaxMany: 10, ofJaxOne: 0.5 },
  { case: { model: "micro", mesh: [256, 1], batch: 256, numerics: "f32" }, timesJaxMany: 2.3, ofJaxOne: 0.55, memory: 1 / 3 },
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

/** @typedef {{ readonly what: string, readonly met: boolean }} Verdict */

/**
 * @param {Goal} goal
 * @param {{ ratio_jax256?: number | undefined, ratio_jax1?: number | undefined, rss_ours_mb: number, rss_jax256_mb?: number | undefined }} found
 * @returns {Verdict[]}
 */
export function checkGoal({ case: which, timesJaxMany, ofJaxOne, memory }, found) {
  /** @type {Verdict[]} */
  const verdicts = [];
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
