import { type ExampleSet, type EncodedPair } from "@lapidary/data";
import { buildModel } from "@lapidary/models";
import { adaptedModel, dpoStep, frozenWeights, logProbs, trainedStates } from "@lapidary/post-training";
import { assert, ensure } from "@lapidary/std";
import { initGraph, nextTokenLogits } from "@lapidary/training";
import { digestOfWeights, loadWeights } from "../execution/checkpoints.js";
import { wrongReference } from "../rl/rl-errors.js";
import { answerTokens, negativeLogSigmoid, pairArray, type PairBatch, PairBatches, pairScalars, pairStepMetrics } from "./pair-batches.js";
import { PairFigures, preferenceMetrics } from "./pair-metrics.js";
import type { Evaluation, Recipe, RecipeInputs, RecipeRun, RecipeSteps, StepMetrics } from "./recipe.js";
import { recipeRequest } from "./recipe-request.js";
import { ReferenceTable } from "./reference-table.js";
import { RowLogProbs } from "./row-log-probs.js";

const rowArrays = ["tokens", "targets", "mask"] as const;
const rewards = ["reward_chosen", "reward_rejected", "logp_chosen", "logp_rejected"] as const;
const metrics = [...pairScalars, ...rewards] as const;

/**
 * Direct preference optimization on pairs of a better and a worse answer. Rows are padded on the right. With an adapter, the reference is the weights
 * without it.
 *
 *     init                 → states of step 0
 *     logprobs             params of the policy, tokens, targets, mask → logps f32[2B,T]
 *     reference_logprobs   the same for the reference
 *     dpo_step             states, tokens, targets, mask, reference_logps f32[2B] → states, metrics
 *     next_token           params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const dpo: Recipe = {
  name: "dpo",
  stepProgram: "dpo_step",
  metrics,
  batchArrays: [],
  isSequential: true,
  graphs({ model: config, lora, dpo: given, update, batch, seq, seed }) {
    const model = buildModel(config);
    const states = trainedStates(model, update, { lora });
    const shape = { batch, seq, segments: false };
    return {
      graphs: {
        dpo_step: { trace: () => dpoStep(model, update, shape, { dpo: ensure(given, "dpo"), lora }) },
        init: { trace: () => initGraph(states, seed) },
        logprobs: { trace: () => logProbs(model, shape, { temperature: 1, lora }) },
        reference_logprobs: { trace: () => logProbs(model, shape, { temperature: 1 }) },
        next_token: { trace: () => nextTokenLogits(adaptedModel(model, lora), { batch: 1, seq }), rules: { batch: null } },
      },
      states,
      frozen: frozenWeights(model, { lora }),
    };
  },
  open,
};

async function open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  const { job } = inputs;
  const { lora } = recipeRequest(job);
  const model = buildModel(job.model.config);
  const shape = { batch: job.train.batch, seq: job.train.seq };
  const update = await run.load("dpo_step", {
    consumes: [...run.states, ...rowArrays, "reference_logps"],
    creates: run.states,
    scalars: metrics,
  });
  // Under an adapter, the weights of the policy are those of the reference.
  const set = lora === undefined ? "reference" : "policy";
  const reference = await RowLogProbs.load(run.host, { program: "reference_logprobs", model, set }, shape);
  const policy = await RowLogProbs.load(run.host, { program: "logprobs", model, lora, set: "policy" }, shape);
  const batches = new PairBatches(inputs);
  let opening: Promise<ReferenceTable> | undefined;
  const table = (): Promise<ReferenceTable> => (opening ??= openTable(inputs, reference));
  return {
    async step(step, batch, trace) {
      const given = batches.train(batch);
      const { pairs } = given;
      const data = Float32Array.from(referenceOf(await table(), given));
      const puts = rowArrays.map((name) => update.put(name, pairArray(pairs, name)));
      puts.push(update.put("reference_logps", { dtype: "f32", dims: [pairs.rows], data }));
      const [{ scalars }] = await Promise.all([update.run({ step, update: true, trace }), ...puts]);
      const result = pairStepMetrics(scalars, given, rewards);
      if (step === 0) checkReference(result, { rows: pairs.rows, targets: given.targets }, ensure(job.dpo, "dpo").beta);
      return result;
    },
    evaluate: async (count) => evaluate({ policy, table: await table(), batches, dpo: ensure(job.dpo, "dpo") }, count),
  };
}

/** The log-probabilities of the rows of a batch under the reference, chosen rows first. */
function referenceOf(table: ReferenceTable, { examples }: PairBatch): number[] {
  const all = examples.map((pair) => table.of(pair));
  return [...all.map(({ chosen }) => chosen), ...all.map(({ rejected }) => rejected)];
}

/** Rounding of the log-probability of a token by two programs, nats. */
const rounding = 1e-3;

/**
 * Before the first update, policy and reference are one model: an answer has one log-probability under both.
 *
 * @throws LAP_RL_REFERENCE
 */
export function checkReference({ more = {} }: StepMetrics, { rows, targets }: { rows: number; targets: number }, beta: number): void {
  const tokens = targets / rows;
  for (const name of ["reward_chosen", "reward_rejected"]) {
    const gap = Math.abs(ensure(more[name], name)) / beta / tokens;
    if (gap > rounding) throw wrongReference(gap);
  }
}

/** The table of all pairs. Weights of a reference of its own are on the workers only while it is computed. */
async function openTable(inputs: RecipeInputs, reference: RowLogProbs): Promise<ReferenceTable> {
  const { job, dataset, workers, cacheDir, onActivity } = inputs;
  const { config } = job.model;
  const init = ensure(job.train.init, "train.init");
  const set = dataset as ExampleSet<EncodedPair>;
  const ownWeights = job.lora === undefined;
  let isLoaded = !ownWeights;
  const table = await ReferenceTable.open({
    pairs: [...set.training, ...set.heldout],
    batch: job.train.batch / 2,
    seq: job.train.seq,
    key: [reference.programHash, await digestOfWeights(init), `${workers}`, job.executor, job.numerics],
    cacheDir,
    ...(onActivity === undefined ? {} : { onActivity }),
    compute: async (batch) => {
      if (!isLoaded) await loadWeights(init, config, (name, array) => reference.putWeight(name, array));
      isLoaded = true;
      return reference.of(batch);
    },
  });
  if (ownWeights && isLoaded) await reference.dropWeights();
  return table;
}

interface DpoEvaluation {
  readonly policy: RowLogProbs;
  readonly table: ReferenceTable;
  readonly batches: PairBatches;
  readonly dpo: { readonly beta: number; readonly loss: "sigmoid" | "ipo"; readonly smoothing: number };
}

/** The loss of held-out pairs, and the share of them whose better answer gained more probability. */
async function evaluate({ policy, table, batches, dpo: config }: DpoEvaluation, count: number): Promise<Evaluation> {
  assert(count > 0, "an evaluation has batches", count);
  const { beta, smoothing } = config;
  const sum = { loss: 0, tokens: 0 };
  const figures = new PairFigures();
  for (let batch = 0; batch < count; batch++) {
    const given = batches.heldout(batch);
    const { pairs, own, targets } = given;
    const [logps, before] = [await policy.of(pairs), referenceOf(table, given)];
    const at = (values: readonly number[], row: number): number => ensure(values[row], "log-probability");
    const ratio = (row: number): number => at(logps, row) - at(before, row);
    for (let pair = 0; pair < own; pair++) {
      const other = pair + pairs.rows / 2;
      const margin = beta * (ratio(pair) - ratio(other));
      sum.loss +=
        config.loss === "ipo"
          ? (ratio(pair) / answerTokens(pairs, pair) - ratio(other) / answerTokens(pairs, other) - 1 / (2 * beta)) ** 2
          : (1 - smoothing) * negativeLogSigmoid(margin) + smoothing * negativeLogSigmoid(-margin);
      figures.chosen.push(at(logps, pair));
      figures.rejected.push(at(logps, other));
      figures.referenceChosen.push(at(before, pair));
      figures.referenceRejected.push(at(before, other));
    }
    sum.tokens += targets;
  }
  return { loss: sum.loss / figures.chosen.length, tokens: sum.tokens, more: preferenceMetrics(figures, beta) };
}
