import { pretrain } from "./pretrain.js";
import type { Recipe, RecipeName } from "./recipe.js";
import { sft } from "./sft.js";

const recipes: Readonly<Record<RecipeName, Recipe>> = { pretrain, sft };

/** The recipe of a job or of a request for its programs. */
export const recipeOf = ({ recipe = "pretrain" }: { readonly recipe?: RecipeName | undefined }): Recipe => recipes[recipe];
