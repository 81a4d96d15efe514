import { type LoraConfig } from "@lapidary/models";
import { loraTargetModules, type ResolvedJob } from "@lapidary/training";
import type { RecipeRequest } from "./recipe.js";

/** The part of a job that decides its graphs. Keys of other recipes than pretraining are absent in the request of a pretraining. */
export function recipeRequest({ recipe, lora, rl, dpo, compare, model, train, seed }: ResolvedJob): RecipeRequest {
  const { steps, optimizer, schedule, clip, batch, seq } = train;
  return {
    ...(recipe === undefined ? {} : { recipe }),
    ...(lora === undefined ? {} : { lora: loraConfig(lora) }),
    ...(rl === undefined ? {} : { rl }),
    ...(dpo === undefined ? {} : { dpo }),
    ...(compare === undefined ? {} : { compare: { newTokens: compare.max_new_tokens } }),
    seed,
    model: model.config,
    update: { steps, optimizer, schedule, ...(clip === undefined ? {} : { clip }) },
    batch,
    seq,
  };
}

/** The settings of an adapter, with the names of modules. */
export const loraConfig = ({ rank, alpha, targets }: NonNullable<ResolvedJob["lora"]>): LoraConfig => ({
  rank,
  alpha,
  targets: targets.map((target) => loraTargetModules[target]),
});
