import { dpo } from "./dpo.js";
import { pretrain } from "./pretrain.js";
import { isRecipePath, type ResolvedJob } from "@lapidary/training";
import type { Recipe, RecipeName } from "./recipe.js";
import { reward } from "./reward.js";
import { rl } from "./rl.js";
import { sft } from "./sft.js";
import { userRecipe } from "./user-recipe.js";

const recipes: Readonly<Record<RecipeName, Recipe>> = { pretrain, sft, reward, rl, dpo };

/** The recipe of a job or of a request for its programs. */
export const recipeOf = ({ recipe = "pretrain" }: { readonly recipe?: RecipeName | ResolvedJob["recipe"] }): Recipe =>
  isRecipePath(recipe) ? userRecipe(recipe) : recipes[recipe];
