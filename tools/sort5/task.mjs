/** What the parts of sort5 share: the model, the tokens, a session on a pod, and evaluations. */
import { buildModel, modelConfigSchema } from "@lapidary/models";
import { byteTokenizer, encodeForTuning, encodePrompt, endAnswer } from "@lapidary/data";
import { handleOf, stepIndex } from "@lapidary/protocol";
import { rolloutLogProbs, sftStep, trainedStates } from "@lapidary/post-training";
import { completionEnds, LoadedProgram, Rollout, sequenceRows, trimmedCompletions, weightHandle } from "@lapidary/trainer";
import { initGraph, paramName } from "@lapidary/training";
import { ascending, demonstration, question } from "./data.mjs";

/** @typedef {import("@lapidary/trainer").Session} Session */
/** @typedef {import("@lapidary/protocol").ArrayData} ArrayData */
/** @typedef {ReadonlyMap<string, ArrayData>} Weights by the name of the model */

const shape = { vocabSize: 288, modelDim: 64, layers: 2, heads: 16, kvHeads: 16, headDim: 4, mlpDim: 128, contextLength: 64 };
export const model = buildModel(modelConfigSchema.parse(shape));

/** Tokens of a prompt, and of an answer: five digits, `<end_of_turn>`, line break. */
export const promptTokens = 21;
export const answerTokens = 7;
const seq = promptTokens + answerTokens;
export const stopTokens = [byteTokenizer.control.endOfTurn, byteTokenizer.control.eos ?? 1];

/** @param {number} steps @param {number} lr @returns {import("@lapidary/training").UpdateConfig} */
export const updateOf = (steps, lr) => ({
  steps,
  optimizer: { name: "adamw", lr, betas: [0.9, 0.95], eps: 1e-8, weight_decay: 0 },
  schedule: { name: "cosine", warmup: 20, final: 0.1 },
  clip: 1,
});

const example = { file: "sort5", row: 1, columns: {} };

/** @param {{ prompt: string }} row */
export function promptOf({ prompt }) {
  const { ids } = encodePrompt({ ...example, kind: "prompt", prompt }, byteTokenizer, { seq: promptTokens });
  return { ids, text: prompt, columns: {} };
}

/** @param {ArrayLike<number>} ids */
export const textOf = (ids) =>
  Array.from(ids, (id) => (id >= 4 && id < 260 ? String.fromCharCode(id - 4) : ""))
    .join("")
    .trim();

/** @param {readonly number[]} ids */
export const ended = (ids) => endAnswer(ids, byteTokenizer).ids;

/** The rows of a step of fine-tuning. @param {number} seed @param {number} step @param {number} rows */
function demonstrationRows(seed, step, rows) {
  const arrays = { tokens: new Int32Array(rows * seq), targets: new Int32Array(rows * seq), mask: new Float32Array(rows * seq) };
  for (let row = 0; row < rows; row++) {
    const { prompt, completion } = demonstration(seed, step * rows + row);
    const [document] = encodeForTuning({ ...example, kind: "completion", prompt, completion }, byteTokenizer, { seq });
    if (document === undefined) throw new Error("a demonstration is one document");
    arrays.tokens.set(document.ids, row * seq);
    arrays.targets.set(document.ids.subarray(1), row * seq);
    arrays.mask.set(document.mask.subarray(1), row * seq);
  }
  return arrays;
}

/** @param {Session} session @param {readonly string[]} names @param {string} [set] @returns {Promise<Map<string, ArrayData>>} */
export async function fetchWeights(session, names, set = "policy") {
  return new Map(
    await Promise.all(
      names.map(async (name) => /** @type {[string, ArrayData]} */ ([name, await session.group.fetch(weightHandle(set, name))])),
    ),
  );
}

/**
 * Fine-tunes a new model on demonstrations. The weights stay on the workers as the policy.
 *
 * @param {Session} session
 * @param {{ seed: number, steps: number, rows: number, onStep?: (step: number, loss: number) => void }} options
 */
export async function fineTune(session, { seed, steps, rows, onStep }) {
  const update = updateOf(steps, 4e-3);
  const states = trainedStates(model, update);
  const names = states.map(({ name }) => name);
  const kept = new Map(names.map((name) => [name, handleOf(name)]));
  const scales = states.map((spec) =>
    spec.init.kind === "normal" ? { ...spec, init: { kind: /** @type {const} */ ("normal"), scale: 0.08 } } : spec,
  );
  const init = await LoadedProgram.load(session, "init", initGraph(scales, seed), { outputs: kept, donate: [] });
  const batch = ["tokens", "targets", "mask"];
  const graph = sftStep(model, update, { batch: rows, seq, segments: false });
  const step = await LoadedProgram.load(session, "sft", graph, { outputs: kept, donate: [...names, ...batch], scalars: ["loss"] });
  await init.run(stepIndex(0));
  /** @type {Promise<number>[]} */
  const inFlight = [];
  for (let k = 0; k < steps || inFlight.length > 0; k++) {
    if (k < steps) {
      const { tokens, targets, mask } = demonstrationRows(seed, k, rows);
      const dims = [rows, seq];
      void step.put("tokens", { dtype: "i32", dims, data: tokens });
      void step.put("targets", { dtype: "i32", dims, data: targets });
      void step.put("mask", { dtype: "f32", dims, data: mask });
      inFlight.push(step.run(stepIndex(k), true).then(({ scalars }) => scalars.get("loss") ?? Number.NaN));
      if (inFlight.length < 4 && k + 1 < steps) continue;
    }
    const loss = await inFlight.shift();
    onStep?.(k, loss ?? Number.NaN);
  }
}

/**
 * Draws answers to the held-out prompts.
 *
 * @param {Session} session
 * @param {{ seed: number, rows: number, temperature: number, set?: string, prompts?: ReturnType<typeof heldOut> }} options
 */
export async function answerHeldOut(session, { seed, rows, temperature, set = "policy", prompts = heldOut(seed, rows) }) {
  const size = { batch: rows, generations: 1, prompt: promptTokens, newTokens: answerTokens };
  const rollout = await Rollout.load(session, { model, shape: size, draw: { temperature, stopTokens }, set });
  const drawn = await rollout.draw({ prompts, seed: seed + 1000, rollout: 0, step: stepIndex(0) });
  const ends = completionEnds(drawn.completions, answerTokens, stopTokens);
  const answers = trimmedCompletions(drawn, answerTokens, ends);
  const isRight = answers.map((answer, row) => ends.isCutOff[row] === 0 && textOf(answer) === ascending(prompts[row]?.text ?? ""));
  return { prompts, answers, isRight, accuracy: isRight.filter(Boolean).length / rows };
}

/** @param {number} seed @param {number} rows */
export const heldOut = (seed, rows) => Array.from({ length: rows }, (_, row) => promptOf(question(seed, row, "held")));

/**
 * A program that compares the policy with the reference.
 *
 * @param {Session} session
 * @param {number} rows
 */
export async function openComparison(session, rows) {
  const names = ["logps", "reference_logps", "kl"];
  const outputs = new Map(names.map((name) => [name, handleOf(`evaluate/${name}`)]));
  const inputs = new Map(model.params.map(({ name }) => [paramName(`reference.${name}`), weightHandle("reference", name)]));
  const graph = rolloutLogProbs(model, { batch: rows, seq, segments: true }, { temperature: 1 });
  const program = await LoadedProgram.load(session, `compare ${rows}`, graph, {
    inputs,
    outputs,
    donate: ["tokens", "targets", "mask", "segments"],
  });
  return {
    /** Makes the weights those of policy and reference. @param {Weights} weights */
    async put(weights) {
      for (const [name, array] of weights)
        await Promise.all([program.put(paramName(name), array), program.put(paramName(`reference.${name}`), array)]);
    },
    /**
     * Log-probabilities under policy and reference, and the KL, summed over the tokens of each answer.
     *
     * @param {readonly { ids: ArrayLike<number> }[]} prompts
     * @param {readonly ArrayLike<number>[]} answers
     */
    async sums(prompts, answers) {
      const { tokens, targets, mask, segments } = sequenceRows(prompts, promptTokens, answers, answerTokens);
      const dims = [rows, seq];
      await Promise.all([
        program.put("tokens", { dtype: "i32", dims, data: tokens }),
        program.put("targets", { dtype: "i32", dims, data: targets }),
        program.put("mask", { dtype: "f32", dims, data: mask }),
        program.put("segments", { dtype: "i32", dims, data: segments }),
        program.run(stepIndex(0)),
      ]);
      const arrays = await Promise.all([...outputs.values()].map((id) => session.group.fetch(id)));
      await session.group.drop([...outputs.values()]);
      const [policy = [], reference = [], kl = []] = arrays.map(({ data }) =>
        prompts.map((_, row) => Float64Array.from(data.subarray(row * seq, (row + 1) * seq)).reduce((sum, x) => sum + x, 0)),
      );
      return { policy, reference, kl };
    },
  };
}
