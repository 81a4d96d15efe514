import { buildModel, type Model } from "@lapidary/models";
import { dpoStep, logProbs, trainedStates } from "@lapidary/post-training";
import { type Handle, handleOf, stepIndex } from "@lapidary/protocol";
import { assert, ensure } from "@lapidary/std";
import { initGraph, nextTokenLogits, paramName } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import { LoadedProgram, type ParameterSet, type ProgramHost, weightInputs } from "../rl/program-host.js";
import { negativeLogSigmoid, pairArray, type PairBatch, PairBatches } from "./pair-batches.js";
import type { Evaluation, Recipe, RecipeInputs, RecipeRun, RecipeSteps } from "./recipe.js";

const rowArrays = ["tokens", "targets", "mask"] as const;
const metrics = ["loss", "grad_norm", "learning_rate", "accuracy", "margin_mean"] as const;

/**
 * Direct preference optimization on pairs of a better and a worse answer. Rows are padded on the right.
 *
 *     init         → states of step 0
 *     logprobs     params of the policy or the reference, tokens, targets, mask → logps f32[2B,T]
 *     dpo_step     states, tokens, targets, mask, reference_logps f32[2B] → states, metrics
 *     next_token   params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const dpo: Recipe = {
  name: "dpo",
  stepProgram: "dpo_step",
  metrics,
  batchArrays: [],
  isSequential: true,
  graphs({ model: config, dpo: given, update, batch, seq, seed }) {
    const model = buildModel(config);
    const states = trainedStates(model, update);
    const shape = { batch, seq, segments: false };
    return {
      graphs: {
        dpo_step: { trace: () => dpoStep(model, update, shape, { dpo: ensure(given, "dpo") }) },
        init: { trace: () => initGraph(states, seed) },
        logprobs: { trace: () => logProbs(model, shape, { temperature: 1 }) },
        next_token: { trace: () => nextTokenLogits(model, { batch: 1, seq }), rules: { batch: null } },
      },
      states,
      frozen: [],
      step: [
        { name: "logprobs", program: "logprobs", phase: "reference", runs: 1, inputs: new Map(weightInputs(model.params, "reference")) },
        { name: "dpo_step", program: "dpo_step", phase: "update", runs: 1 },
      ],
    };
  },
  open,
};

async function open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  const { job } = inputs;
  const model = buildModel(job.model.config);
  const shape = { batch: job.train.batch, seq: job.train.seq };
  const update = await run.load("dpo_step", {
    consumes: [...run.states, ...rowArrays, "reference_logps"],
    creates: run.states,
    scalars: metrics,
  });
  const reference = await RowLogProbs.load(run.host, model, shape, "reference");
  const policy = await RowLogProbs.load(run.host, model, shape, "policy");
  await loadWeights(ensure(job.train.init, "train.init"), job.model.config, (name, array) => reference.program.put(paramName(name), array));
  const batches = new PairBatches(inputs);
  return {
    async step(step, batch, trace) {
      const { pairs, targets } = batches.train(batch);
      const data = Float32Array.from(await reference.of({ pairs }));
      const puts = rowArrays.map((name) => update.put(name, pairArray(pairs, name)));
      puts.push(update.put("reference_logps", { dtype: "f32", dims: [pairs.rows], data }));
      const [{ scalars }] = await Promise.all([update.run({ step, update: true, trace }), ...puts]);
      const scalar = (name: (typeof metrics)[number]): number => ensure(scalars.get(name), name);
      return {
        loss: scalar("loss"),
        grad_norm: scalar("grad_norm"),
        learning_rate: scalar("learning_rate"),
        tokens_counted: targets,
        more: { accuracy: scalar("accuracy"), margin: scalar("margin_mean") },
      };
    },
    evaluate: (count) => evaluate({ policy, reference, batches, dpo: ensure(job.dpo, "dpo") }, count),
  };
}

interface RowShape {
  readonly batch: number;
  readonly seq: number;
}

/** Log-probabilities of answers under one parameter set. */
class RowLogProbs {
  private constructor(
    private readonly host: ProgramHost,
    readonly program: LoadedProgram,
    private readonly shape: RowShape,
  ) {}

  static async load(host: ProgramHost, model: Model, shape: RowShape, set: ParameterSet): Promise<RowLogProbs> {
    const inputs = new Map([...weightInputs(model.params, set), ...rowArrays.map((name) => [name, handle(name)] as const)]);
    const graph = (): ReturnType<typeof logProbs> => logProbs(model, { ...shape, segments: false }, { temperature: 1 });
    const wiring = { inputs, outputs: new Map([["logps", handle("logps")]]), donate: [...rowArrays] };
    return new RowLogProbs(host, await LoadedProgram.load(host, "logprobs", graph, wiring), shape);
  }

  /** Sums over the answers of all rows. */
  async of({ pairs }: Pick<PairBatch, "pairs">): Promise<number[]> {
    const { group } = this.host;
    const puts = rowArrays.map((name) => this.program.put(name, pairArray(pairs, name)));
    const ran = this.program.run(stepIndex(0));
    const fetched = group.fetch(handle("logps"));
    await Promise.all([...puts, ran, fetched, group.drop([handle("logps")])]);
    const { data } = await fetched;
    assert(data instanceof Float32Array, "log-probabilities are f32");
    const { batch, seq } = this.shape;
    return Array.from({ length: batch }, (_, row) => data.subarray(row * seq, (row + 1) * seq).reduce((sum, value) => sum + value, 0));
  }
}

const handle = (name: string): Handle => handleOf(`dpo/${name}`);

interface DpoEvaluation {
  readonly policy: RowLogProbs;
  readonly reference: RowLogProbs;
  readonly batches: PairBatches;
  readonly dpo: { readonly beta: number; readonly loss: "sigmoid" | "ipo"; readonly smoothing: number };
}

/** The loss of held-out pairs, and the share of them whose better answer gained more probability. */
async function evaluate({ policy, reference, batches, dpo: config }: DpoEvaluation, count: number): Promise<Evaluation> {
  assert(count > 0, "an evaluation has batches", count);
  const { beta, smoothing } = config;
  const sum = { loss: 0, correct: 0, margin: 0, pairs: 0, tokens: 0 };
  for (let batch = 0; batch < count; batch++) {
    const { pairs, own, targets } = batches.heldout(batch);
    const [logps, before] = [await policy.of({ pairs }), await reference.of({ pairs })];
    const ratio = (row: number): number => ensure(logps[row], "policy") - ensure(before[row], "reference");
    const tokens = (row: number): number =>
      pairs.mask.subarray(row * pairs.seq, (row + 1) * pairs.seq).reduce((ones, each) => ones + each, 0);
    for (let pair = 0; pair < own; pair++) {
      const other = pair + pairs.rows / 2;
      const margin = beta * (ratio(pair) - ratio(other));
      sum.loss +=
        config.loss === "ipo"
          ? (ratio(pair) / tokens(pair) - ratio(other) / tokens(other) - 1 / (2 * beta)) ** 2
          : (1 - smoothing) * negativeLogSigmoid(margin) + smoothing * negativeLogSigmoid(-margin);
      sum.correct += margin > 0 ? 1 : 0;
      sum.margin += margin;
    }
    sum.pairs += own;
    sum.tokens += targets;
  }
  return { loss: sum.loss / sum.pairs, tokens: sum.tokens, more: { accuracy: sum.correct / sum.pairs, margin: sum.margin / sum.pairs } };
}
