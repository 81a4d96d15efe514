import { dpo } from "./dpo.js";
import { pretrain } from "./pretrain.js";
import { assert } from "@lapidary/std";
import { isRecipePath, type ResolvedJob } from "@lapidary/training";
import { compare } from "./compare.js";
import type { Recipe, RecipeName, RecipePrograms } from "./recipe.js";
import { reward } from "./reward.js";
import { rl } from "./rl.js";
import { sft } from "./sft.js";
import { userRecipe } from "./user-recipe.js";

const trainings: Readonly<Record<Exclude<RecipeName, "compare">, Recipe>> = { pretrain, sft, reward, rl, dpo };

interface OfRecipe {
  readonly recipe?: RecipeName | ResolvedJob["recipe"];
}

/** The programs of the recipe of a job or of a request. */
export const programsOf = ({ recipe = "pretrain" }: OfRecipe): RecipePrograms => (recipe === "compare" ? compare : recipeOf({ recipe }));

/** The recipe of a job that trains. */
export function recipeOf({ recipe = "pretrain" }: OfRecipe): Recipe {
  assert(recipe !== "compare", "the recipe trains", recipe);
  return isRecipePath(recipe) ? userRecipe(recipe) : trainings[recipe];
}
