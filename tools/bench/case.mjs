/**
 * A case of the benchmark: a model of `configs/models`, its mesh, batch and numerics; and the programs of its step as a job compiles them.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../setup/session.mjs";

/**
 * @typedef {object} Case
 * @property {string} model name in configs/models, or a file of tools/bench
 * @property {readonly number[]} mesh data × model, or the sizes of `axes`
 * @property {readonly string[]} [axes] names of the axes in place of data and model
 * @property {number} [microbatches] `train.microbatches`
 * @property {number} batch rows of a batch
 * @property {"f32" | "mxu"} numerics
 * @property {string} [remat] a policy in place of that in the model's job file
 */

/** @param {string} text `16x16` @returns {readonly [number, number]} */
export function parseMeshText(text) {
  const found = /^([1-9]\d*)x([1-9]\d*)$/.exec(text);
  if (found === null) throw new Error(`a mesh is DATAxMODEL, such as 16x16, not ${JSON.stringify(text)}`);
  return [Number(found[1]), Number(found[2])];
}

/** @param {Case} which */
export const nameOf = ({ model, mesh, batch, numerics }) => `${model} ${mesh.join("x")} b${batch} ${numerics}`;

/** The packages of the build, because the benchmark measures the build. @param {string} name */
const built = (name) => import(new URL(`../../packages/${name}`, import.meta.url).href);

/**
 * The resolved job: AdamW, no clipping, ZeRO-3, as `bench_jax.py` does it.
 * @param {Case} which
 * @param {{ readonly clip?: number, readonly remat?: string }} [options]
 */
export async function jobOf(
  { model, mesh, axes = ["data", "model"], microbatches, batch, numerics, remat: own },
  { clip, remat = own } = {},
) {
  const { loadJob, resolveJob } = await built("training/dist/index.js");
  const slice = sliceOf(chipsOf({ mesh }));
  const environment = { configsDir: join(projectRoot, "configs"), base: projectRoot };
  // The settings of the model's job file, if there is one.
  const file = join(projectRoot, "configs/jobs", `${model}.yaml`);
  const policy = remat ?? (existsSync(file) ? loadJob(file, [], environment).remat : undefined);
  const text = [
    `model: ${existsSync(ownModel(model)) ? ownModel(model) : model}`,
    `pod: v5e-256`,
    `slice: ${slice}`,
    `mesh: { ${axes.map((axis, i) => `${axis}: ${mesh[i]}`).join(", ")} }`,
    `zero: 3`,
    `numerics: ${numerics}`,
    ...(policy === undefined ? [] : [`remat: ${policy}`]),
    `train:`,
    `  steps: 1000`,
    `  batch: ${batch}`,
    ...(microbatches === undefined ? [] : [`  microbatches: ${microbatches}`]),
    `  optimizer: { name: adamw, lr: 3e-4, betas: [0.9, 0.95], weight_decay: 0.1 }`,
    ...(clip === undefined ? [] : [`  clip: ${clip}`]),
  ].join("\n");
  return resolveJob({ text, file: "bench.yaml", base: projectRoot }, [], environment);
}

/** @param {Pick<Case, "mesh">} which */
export const chipsOf = ({ mesh }) => mesh.reduce((product, size) => product * size, 1);

/** A model that only the benchmark has. @param {string} model */
const ownModel = (model) => join(projectRoot, "tools/bench", `${model}.yaml`);

/** A rectangle of the pod with this number of chips. @param {number} chips */
function sliceOf(chips) {
  for (let rows = Math.floor(Math.sqrt(chips)); rows >= 1; rows--)
    if (chips % rows === 0 && chips / rows <= 16) return `${rows}x${chips / rows}`;
  throw new Error(`${chips} chips are no rectangle of a 16x16 pod`);
}

/**
 * @param {Case} which
 * @param {Parameters<typeof jobOf>[1]} [options]
 */
export async function programsOf(which, options) {
  const job = await jobOf(which, options);
  const [{ buildOptionsOf, compileJob, compileOptions, initGraph, trainState }, { compile }, { buildModel }] = await Promise.all([
    built("training/dist/index.js"),
    built("compiler/dist/index.js"),
    built("models/dist/index.js"),
  ]);
  const before = performance.now();
  const step = compileJob(job);
  const compile_s = (performance.now() - before) / 1000;
  const state = trainState(buildModel(job.model.config, buildOptionsOf(job)), job.train.optimizer);
  const graph = initGraph(state, 0);
  const init = compile(graph, compileOptions(job, graph));
  return { job, step, init, stateNames: state.map((/** @type {{ name: string }} */ s) => s.name), compile_s };
}

/** Always the same random tokens. @param {{ readonly train: { readonly batch: number, readonly seq: number }, readonly model: { readonly config: { readonly vocabSize: number } } }} job */
export function batchOf({ train: { batch, seq }, model: { config } }) {
  const dims = [batch, seq];
  const count = batch * seq;
  const token = (/** @type {number} */ i) => Math.floor((((i * 2654435761) >>> 0) / 2 ** 32) * config.vocabSize);
  return {
    tokens: { dtype: "i32", dims, data: Int32Array.from({ length: count }, (_, i) => token(i)) },
    targets: { dtype: "i32", dims, data: Int32Array.from({ length: count }, (_, i) => token(i + 1)) },
    mask: { dtype: "f32", dims, data: new Float32Array(count).fill(1) },
  };
}

/**
 * Floating-point operations of a step, as bench_jax.py counts them: 6 for each parameter of a matrix and token, plus attention without its mask.
 * @param {Awaited<ReturnType<typeof jobOf>>} job
 */
export function flopOf({ model: { config }, train: { batch, seq } }) {
  const { vocabSize: V, modelDim: D, layers: L, heads: H, kvHeads: K, headDim: E, mlpDim: F } = config;
  const matrices = V * D + L * (2 * D * H * E + 2 * D * K * E + 3 * D * F);
  return 6 * matrices * batch * seq + 12 * L * batch * seq * seq * H * E;
}
