import { ExampleSet, type TextPrompt } from "@lapidary/data";
import { type Checker, openChecker, parseChecker } from "@lapidary/evaluation";
import { buildModel } from "@lapidary/models";
import { assert, ensure } from "@lapidary/std";
import { initGraph, nextTokenLogits, type ResolvedJob } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import { readRewardModel } from "../rl/reward-model.js";
import type { CutOffRule, RewardSource, RlGraphSettings, RlPrompt, RlSettings } from "../rl/rl-settings.js";
import { rlGraphs, rlStates } from "../rl/rl-programs.js";
import { type RlSample, RlStepController } from "../rl/rl-step-controller.js";
import { stopRule, completionText } from "./completion-text.js";
import type { Evaluation, Recipe, RecipeInputs, RecipeRequest, RecipeRun, RecipeSteps } from "./recipe.js";
import { recipeRequest } from "./recipe-request.js";
import { rlStepMetrics, stopNames } from "./rl-metrics.js";

/**
 * Reinforcement learning: completions of prompts by the policy, their scores, and updates with a penalty for the KL to the policy of `train.init`.
 *
 *     init               → states of step 0
 *     rollout_prefill    params, prompts → cache, first tokens
 *     rollout_decode     params, cache, tokens → cache, tokens
 *     score              reward model, rows → scores
 *     rollout_logprobs   params, reference, rows → log-probabilities, entropy, KL
 *     rl_step            states, rows, log-probabilities, scores → states, metrics
 *     next_token         params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const rl: Recipe = {
  name: "rl",
  stepProgram: "rl_step",
  metrics: ["loss", "grad_norm", "learning_rate"],
  batchArrays: [],
  isSequential: true,
  graphs(request) {
    const settings = graphSettings(request);
    const states = rlStates(settings);
    const graphs = Object.entries(rlGraphs(settings)).map(([name, trace]) => [name, { trace }] as const);
    return {
      graphs: {
        ...Object.fromEntries(graphs),
        init: { trace: () => initGraph(states, request.seed) },
        next_token: { trace: () => nextTokenLogits(settings.model, { batch: 1, seq: request.seq }), rules: { batch: null } },
      },
      states,
      frozen: [],
    };
  },
  open,
};

/** `train.steps` counts rollouts. The schedule of the learning rate counts updates. */
function graphSettings({ model: config, rl: given, update, batch, seq, stop }: RecipeRequest): RlGraphSettings {
  const job = ensure(given, "rl");
  const { generations, iterations, rollout } = job;
  const newTokens = rollout.max_new_tokens;
  return {
    model: buildModel(config),
    update: {
      ...update,
      steps: update.steps * iterations,
      schedule: { ...update.schedule, warmup: update.schedule.warmup * iterations },
    },
    algorithm: algorithmOf(job),
    rollout: {
      prompts: batch / generations,
      generations,
      promptTokens: seq - newTokens,
      newTokens,
      temperature: rollout.temperature,
      stopTokens: stop?.stopTokens ?? [],
    },
    text: { endTokens: stop?.endTokens ?? 0 },
  };
}

function algorithmOf({ algorithm, beta, clip: bound, reduction, rollout }: NonNullable<ResolvedJob["rl"]>): RlSettings["algorithm"] {
  const clip = { low: bound, high: bound };
  return algorithm === "grpo"
    ? { algorithm, beta, clip, klWeight: true, reduction: reduction ?? "grpo", maxNewTokens: rollout.max_new_tokens }
    : { algorithm, beta, clip };
}

const cutOffRule = (truncated: NonNullable<ResolvedJob["rl"]>["truncated"]): CutOffRule =>
  typeof truncated === "string" ? { rule: truncated } : { rule: "penalty", score: truncated.penalty };

async function open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  const { job, dataset } = inputs;
  assert(dataset instanceof ExampleSet && dataset.kind === "prompts", "the run has prompts");
  const prompts = dataset as ExampleSet<TextPrompt>;
  const settings = graphSettings({ ...recipeRequest(job), stop: stopRule(prompts.chat) });
  const { guard, truncated, iterations } = ensure(job.rl, "rl");
  const { sources, models, checkers } = await openRewards(job);
  const close = async (): Promise<void> => void (await Promise.all(checkers.map((checker) => checker.close())));
  try {
    const controller = await RlStepController.load(run.host, {
      ...settings,
      text: completionText(prompts.tokenizer, prompts.chat),
      seed: job.seed,
      promptsOf: (batch) => prompts.train(job.seed, batch, settings.rollout.prompts),
      rewards: sources,
      cutOff: cutOffRule(truncated),
      iterations,
      guard: {
        ...(guard?.kl === undefined ? {} : { kl: guard.kl }),
        ...(guard?.log_prob_gap === undefined ? {} : { logProbGap: guard.log_prob_gap }),
      },
    });
    const { config } = job.model;
    await loadWeights(ensure(job.train.init, "train.init"), config, (name, array) =>
      controller.putSet("reference", new Map([[name, array]])),
    );
    for (const [set, directory] of models) await controller.putSet(set, await readRewardModel(directory, config));
    return {
      async step(step, batch, trace) {
        const { metrics, samples, warnings } = await controller.step(step, { batch, trace });
        if (trace || step === 0) inputs.onSamples?.(step + 1, samples);
        inputs.onWarnings?.(warnings);
        return rlStepMetrics(metrics, job.train.batch, stopNames(prompts.chat));
      },
      evaluate: (count) => evaluate(controller, prompts, settings.rollout, count),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Rewards {
  readonly sources: readonly RewardSource[];
  /** Directories of reward models, by parameter set. */
  readonly models: ReadonlyMap<string, string>;
  readonly checkers: readonly Checker[];
}

async function openRewards({ reward = [] }: ResolvedJob): Promise<Rewards> {
  const sources: RewardSource[] = [];
  const models = new Map<string, string>();
  const checkers: Checker[] = [];
  for (const [at, source] of reward.entries()) {
    const number = reward.length === 1 ? "" : `_${at}`;
    if ("checker" in source && typeof source.checker === "string") {
      const { weight, ...settings } = source as typeof source & { weight: number };
      const place = `reward.${at}`;
      const checker = await openChecker(parseChecker(settings, place), "/", place);
      checkers.push(checker);
      sources.push({ kind: "checker", name: `checker${number}`, weight, check: (row) => checker.check(row) });
    } else {
      const { model, weight, shift, scale } = source as { model: string; weight: number; shift: number; scale: number };
      const set = `reward${at}`;
      models.set(set, model);
      sources.push({ kind: "model", name: `model${number}`, weight, set, shift, scale });
    }
  }
  return { sources, models, checkers };
}

/** Held-out prompts whose completions an evaluation returns. */
const sampledPrompts = 4;

/** The loss of an evaluation is the negative mean score of completions of held-out prompts. */
async function evaluate(
  controller: RlStepController,
  set: ExampleSet<TextPrompt>,
  { prompts, generations }: RlSettings["rollout"],
  count: number,
): Promise<Evaluation> {
  assert(count > 0, "an evaluation has batches", count);
  const sum = { score: 0, tokens: 0, rows: 0 };
  const samples: (readonly RlSample[])[] = [];
  for (let batch = 0; batch < count; batch++) {
    const { examples, own } = set.heldoutBatch(batch, prompts);
    const { scores, lengths, samples: drawn } = await controller.evaluate(examples satisfies readonly RlPrompt[], batch);
    samples.push(...drawn.slice(0, Math.min(own, sampledPrompts - samples.length)));
    const rows = own * generations;
    for (let row = 0; row < rows; row++) {
      sum.score += ensure(scores[row], "score");
      sum.tokens += ensure(lengths[row], "length");
    }
    sum.rows += rows;
  }
  const mean = sum.score / sum.rows;
  return { loss: -mean, tokens: sum.tokens, more: { reward: mean, length: sum.tokens / sum.rows }, samples };
}
