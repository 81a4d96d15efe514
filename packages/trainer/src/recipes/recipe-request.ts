import { type LoraConfig } from "@lapidary/models";
import {
  buildOptionsOf,
  isRecipePath,
  loraTargetModules,
  lossChunksOf,
  modelOfSet,
  type ResolvedJob,
  trainsOnExamples,
} from "@lapidary/training";
import type { RecipeRequest } from "./recipe.js";

/** The part of a job that decides its graphs. Keys of other recipes than pretraining are absent in the request of a pretraining. */
export function recipeRequest(job: ResolvedJob): RecipeRequest {
  const { recipe, lora, rl, reward, dpo, reward_model, compare, model, train, seed } = job;
  const chunks = lossChunksOf(job);
  const { steps, optimizer, schedule, clip, batch, seq, microbatches = 1 } = train;
  return {
    ...(recipe === undefined ? {} : { recipe }),
    ...(isRecipePath(recipe) ? moduleRequest(job) : {}),
    ...(lora === undefined ? {} : { lora: loraConfig(lora) }),
    ...(rl === undefined ? {} : { rl }),
    ...(dpo === undefined ? {} : { dpo }),
    ...(reward_model === undefined ? {} : { reward_model }),
    ...(reward === undefined ? {} : { reward_sets: rewardSets(reward) }),
    ...(compare === undefined ? {} : { compare: { newTokens: compare.max_new_tokens } }),
    seed,
    model: model.config,
    build: buildOptionsOf(job),
    update: { steps, optimizer, schedule, ...(clip === undefined ? {} : { clip }) },
    batch,
    seq,
    ...(chunks === undefined ? {} : { chunks }),
    ...(microbatches === 1 ? {} : { microbatches }),
  };
}

/** What decides the graphs of a user's recipe besides its path. */
const moduleRequest = (job: ResolvedJob): Partial<RecipeRequest> => ({
  ...(job.recipe_hash === undefined ? {} : { recipe_hash: job.recipe_hash }),
  options: job.options ?? {},
  sets: Object.fromEntries(Object.entries(job.sets ?? {}).map(([set, directory]) => [set, modelOfSet(directory)])),
  segments: trainsOnExamples(job),
});

/** The settings of an adapter, with the names of modules. */
export const loraConfig = ({ rank, alpha, targets }: NonNullable<ResolvedJob["lora"]>): LoraConfig => ({
  rank,
  alpha,
  targets: targets.map((target) => loraTargetModules[target]),
});

/** The parameter sets of the reward models of a job. */
const rewardSets = (reward: NonNullable<ResolvedJob["reward"]>): string[] =>
  reward.flatMap((source, at) => ("checker" in source ? [] : [rewardSet(at)]));

/** The parameter set of the reward model at an index of `reward`. */
export const rewardSet = (at: number): string => `reward${at}`;
