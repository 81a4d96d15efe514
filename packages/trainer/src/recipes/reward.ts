import { buildModel } from "@lapidary/models";
import { frozenWeights, rewardStep, score, scoreHead, trainedStates } from "@lapidary/post-training";
import { assert, ensure } from "@lapidary/std";
import { initGraph } from "@lapidary/training";
import { answerTokens, negativeLogSigmoid, pairArray, PairBatches, pairScalars, pairStepMetrics } from "./pair-batches.js";
import { PairFigures, rewardMetrics } from "./pair-metrics.js";
import type { Evaluation, Recipe, RecipeInputs, RecipeRun, RecipeSteps } from "./recipe.js";

const stepArrays = ["tokens", "last", "margin"] as const;
const scoreArrays = ["tokens", "last"] as const;
const scores = ["score_chosen", "score_rejected"] as const;
const metrics = [...pairScalars, ...scores] as const;

/**
 * A reward model on pairs of a better and a worse answer, with the loss of Bradley and Terry. Rows are padded on the right. With an adapter, the states
 * are those of its matrices and of the head.
 *
 *     init          → states of step 0
 *     reward_step   states, tokens, last i32[2B], margin f32[B] → states, metrics
 *     score         params, tokens, last → scores f32[2B]
 */
export const reward: Recipe = {
  name: "reward",
  stepProgram: "reward_step",
  metrics,
  batchArrays: [],
  graphs({ model: config, lora, reward_model: loss, update, batch, seq, seed }) {
    const model = buildModel(config);
    const states = trainedStates(model, update, { lora, also: [scoreHead(model)] });
    const shape = { batch, seq, segments: false };
    return {
      graphs: {
        reward_step: { trace: () => rewardStep(model, update, shape, { center: loss?.center, lora }) },
        init: { trace: () => initGraph(states, seed) },
        score: { trace: () => score(model, shape, { lora }) },
      },
      states,
      frozen: frozenWeights(model, { lora }),
    };
  },
  open,
};

async function open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  const update = await run.load("reward_step", { consumes: [...run.states, ...stepArrays], creates: run.states, scalars: metrics });
  const batches = new PairBatches(inputs);
  return {
    async step(step, batch, trace) {
      const given = batches.train(batch);
      const puts = stepArrays.map((name) => update.put(name, pairArray(given.pairs, name)));
      const [{ scalars }] = await Promise.all([update.run({ step, update: true, trace }), ...puts]);
      return pairStepMetrics(scalars, given, scores);
    },
    evaluate: (count) => evaluate(run, batches, count),
  };
}

/** The loss of held-out pairs, and how well the scores tell their answers apart. */
async function evaluate(run: RecipeRun, batches: PairBatches, count: number): Promise<Evaluation> {
  assert(count > 0, "an evaluation has batches", count);
  const program = await run.load("score", { consumes: scoreArrays, creates: ["scores"], scalars: [] });
  const sum = { loss: 0, tokens: 0 };
  const figures = new PairFigures();
  for (let batch = 0; batch < count; batch++) {
    const { pairs, own, targets } = batches.heldout(batch);
    const puts = scoreArrays.map((name) => program.put(name, pairArray(pairs, name)));
    const ran = program.run({ step: batch });
    const fetched = run.fetch("scores");
    await Promise.all([...puts, ran, fetched, run.drop(["scores"])]);
    const { data } = await fetched;
    const score = (row: number): number => ensure(data[row], "score");
    for (let pair = 0; pair < own; pair++) {
      const other = pair + pairs.rows / 2;
      sum.loss += negativeLogSigmoid(score(pair) - score(other) - ensure(pairs.margin[pair], "margin"));
      figures.chosen.push(score(pair));
      figures.rejected.push(score(other));
      figures.chosenLengths.push(answerTokens(pairs, pair));
      figures.rejectedLengths.push(answerTokens(pairs, other));
    }
    sum.tokens += targets;
  }
  return { loss: sum.loss / figures.chosen.length, tokens: sum.tokens, more: rewardMetrics(figures) };
}
