import { ExampleSet, type TextPrompt } from "@lapidary/data";
import { buildModel } from "@lapidary/models";
import { adaptedModel, frozenWeights } from "@lapidary/post-training";
import { assert, ensure } from "@lapidary/std";
import { initGraph, nextTokenLogits, type ResolvedJob } from "@lapidary/training";
import { loadWeights } from "../execution/checkpoints.js";
import { StepWatch } from "../rl/guards.js";
import { readRewardModel, readScoreStatistics } from "../rl/reward-model.js";
import { rlGraphs, rlStates } from "../rl/rl-programs.js";
import { rlStepRuns } from "../rl/rl-step-runs.js";
import type { CutOffRule, RlGraphSettings, RlSettings } from "../rl/rl-settings.js";
import { RlStepController } from "../rl/rl-step-controller.js";
import { stopRule, completionText } from "./completion-text.js";
import type { Recipe, RecipeInputs, RecipeRequest, RecipeRun, RecipeSteps } from "./recipe.js";
import { recipeRequest } from "./recipe-request.js";
import { evaluateRl, warningsOfEvaluations } from "./rl-evaluation.js";
import { rlStepMetrics, stopNames } from "./rl-metrics.js";
import { openRewards, type Rewards } from "./rl-rewards.js";
import { initializeValueModel } from "./value-model.js";

/**
 * Reinforcement learning: completions of prompts by the policy, their scores, and updates with a penalty for the KL to the policy of `train.init`. With
 * an adapter, that policy is the weights without it.
 *
 *     init               → states of step 0
 *     gather_rollout     params → weights split by rules only; if rollouts read gathered weights
 *     rollout_prefill    params, prompts → cache, first tokens
 *     rollout_decode     params, cache, tokens → cache, tokens
 *     score              reward model, rows → scores
 *     rollout_logprobs   params, reference, rows → log-probabilities, entropy, KL
 *     values             value model of PPO, rows → values
 *     rl_step            states, rows, log-probabilities, scores → states, metrics
 *     next_token         params, tokens i32[1,T], position i32[1] → logits f32[1,V]
 */
export const rl: Recipe = {
  name: "rl",
  stepProgram: "rl_step",
  metrics: ["loss", "grad_norm", "learning_rate"],
  batchArrays: [],
  isSequential: true,
  warningsOf: warningsOfEvaluations,
  graphs(request) {
    const settings = graphSettings(request);
    const { iterations } = ensure(request.rl, "rl");
    const { model, lora, algorithm } = settings;
    const states = rlStates(settings);
    const { values, ...graphs } = rlGraphs(settings);
    const used = algorithm.algorithm === "ppo" ? { ...graphs, values } : graphs;
    return {
      graphs: {
        ...Object.fromEntries(Object.entries(used).map(([name, trace]) => [name, { trace }] as const)),
        init: { trace: () => initGraph(states, request.seed) },
        next_token: {
          trace: () => nextTokenLogits(adaptedModel(model, lora), { batch: 1, seq: request.seq }),
          rules: { batch: null },
        },
      },
      states,
      frozen: frozenWeights(model, { lora }),
      step: rlStepRuns(settings, { iterations, rewardSets: request.reward_sets ?? [] }),
    };
  },
  variants(request) {
    const given = ensure(request.rl, "rl");
    return (["sharded", "gathered"] as const).map((weights) => ({
      name: `rl.rollout.weights=${weights}`,
      request: { ...request, rl: { ...given, rollout: { ...given.rollout, weights } } },
      isGiven: given.rollout.weights === weights,
    }));
  },
  open,
};

/** `train.steps` counts rollouts. The schedule of the learning rate counts updates. */
function graphSettings({ model: config, lora, rl: given, update, batch, seq, stop }: RecipeRequest): RlGraphSettings {
  const job = ensure(given, "rl");
  const { generations, iterations, rollout } = job;
  const newTokens = rollout.max_new_tokens;
  return {
    model: buildModel(config),
    lora,
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
      weights: rollout.weights === "gathered" ? "gathered" : "sharded",
    },
    text: { endTokens: stop?.endTokens ?? 0 },
  };
}

function algorithmOf(job: NonNullable<ResolvedJob["rl"]>): RlSettings["algorithm"] {
  const { algorithm, beta, clip: bound, reduction = "grpo", kl_weight: klWeight = true, rollout } = job;
  const clip = typeof bound === "number" ? { low: bound, high: bound } : bound;
  switch (algorithm) {
    case "rloo":
    case "reinforce":
      return { algorithm, beta, clip };
    case "grpo":
      return { algorithm, beta, clip, klWeight, reduction, maxNewTokens: rollout.max_new_tokens };
    case "ppo": {
      const { gamma, lambda, value_weight: valueWeight, value_clip: clipValue } = ensure(job.ppo, "rl.ppo");
      return { algorithm, clip, klCoef: beta, gamma, lambda, valueWeight, clipValue };
    }
    default:
      return algorithm satisfies never;
  }
}

const cutOffRule = (truncated: NonNullable<ResolvedJob["rl"]>["truncated"]): CutOffRule =>
  typeof truncated === "string" ? { rule: truncated } : { rule: "penalty", score: truncated.penalty };

async function open(run: RecipeRun, inputs: RecipeInputs): Promise<RecipeSteps> {
  const rewards = await openRewards(inputs.job);
  try {
    return await openSteps(run, inputs, rewards);
  } catch (error) {
    await rewards.close();
    throw error;
  }
}

async function openSteps(run: RecipeRun, inputs: RecipeInputs, rewards: Rewards): Promise<RecipeSteps> {
  const { job, dataset } = inputs;
  assert(dataset instanceof ExampleSet && dataset.kind === "prompts", "the run has prompts");
  const set = dataset as ExampleSet<TextPrompt>;
  const { rollout, ...settings } = graphSettings({ ...recipeRequest(job), stop: stopRule(set.chat) });
  const weights = run.programs.includes("gather_rollout") ? "gathered" : "sharded";
  const { guard, truncated, iterations } = ensure(job.rl, "rl");
  const { sources, models, check } = rewards;
  const text = completionText(set.tokenizer, set.chat);
  const controller = await RlStepController.load(run.host, {
    ...settings,
    rollout: { ...rollout, weights },
    text,
    seed: job.seed,
    promptsOf: (batch) => set.train(job.seed, batch, rollout.prompts),
    rewards: sources,
    cutOff: cutOffRule(truncated),
    iterations,
    guard: {
      ...(guard?.kl === undefined ? {} : { kl: guard.kl }),
      ...(guard?.log_prob_gap === undefined ? {} : { logProbGap: guard.log_prob_gap }),
    },
  });
  await loadFrozenSets(controller, job, models);
  const watch = new StepWatch(sources, readScoreStatistics(models));
  return {
    async initialize() {
      if (settings.algorithm.algorithm === "ppo") await initializeValueModel(job, models, (states) => controller.putStates(states));
    },
    async step(step, batch, trace) {
      const { metrics, samples } = await controller.step(step, { batch, trace });
      if (trace || step === 0) inputs.onSamples?.(step + 1, samples);
      inputs.onWarnings?.(watch.warningsOf(step, metrics));
      return rlStepMetrics(metrics, job.train.batch, stopNames(set.chat));
    },
    evaluate: (count) => evaluateRl({ controller, set, rollout, decode: text.decode, check }, count),
    close: () => rewards.close(),
  };
}

/** Loads the reference and the reward models. Under an adapter, the reference is the frozen weights of the policy. */
async function loadFrozenSets(controller: RlStepController, job: ResolvedJob, models: Rewards["models"]): Promise<void> {
  const { config } = job.model;
  if (job.lora === undefined)
    await loadWeights(ensure(job.train.init, "train.init"), config, (name, array) =>
      controller.putSet("reference", new Map([[name, array]])),
    );
  for (const [set, directory] of models) await controller.putSet(set, await readRewardModel(directory, config));
}
