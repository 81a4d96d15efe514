import { dpo } from "./dpo.js";
import { pretrain } from "./pretrain.js";
import { assert } from "@lapidary/std";
import { compare } from "./compare.js";
import type { Recipe, RecipeName, RecipePrograms } from "./recipe.js";
import { reward } from "./reward.js";
import { rl } from "./rl.js";
import { sft } from "./sft.js";

const trainings: Readonly<Record<Exclude<RecipeName, "compare">, Recipe>> = { pretrain, sft, reward, rl, dpo };

interface OfRecipe {
  readonly recipe?: RecipeName | undefined;
}

/** The programs of the recipe of a job or of a request. */
export const programsOf = ({ recipe = "pretrain" }: OfRecipe): RecipePrograms => (recipe === "compare" ? compare : trainings[recipe]);

/** The recipe of a job that trains. */
export function recipeOf({ recipe = "pretrain" }: OfRecipe): Recipe {
  assert(recipe !== "compare", "the recipe trains", recipe);
  return trainings[recipe];
}
