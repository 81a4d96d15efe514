import { ensure } from "@lapidary/std";
import { pretrain } from "./pretrain.js";
import type { Recipe, RecipeName } from "./recipe.js";
import { reward } from "./reward.js";
import { sft } from "./sft.js";

const recipes: Readonly<Partial<Record<RecipeName, Recipe>>> = { pretrain, sft, reward };

/** The recipe of a job or of a request for its programs. */
export const recipeOf = ({ recipe = "pretrain" }: { readonly recipe?: RecipeName | undefined }): Recipe =>
  ensure(recipes[recipe], `recipe ${recipe}`);
