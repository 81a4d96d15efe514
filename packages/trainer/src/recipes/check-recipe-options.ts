import { isRecipePath, type ResolvedJob } from "@lapidary/training";
import { atKey } from "./key-location.js";
import { recipeRequest } from "./recipe-request.js";
import { recipeOf } from "./recipes.js";
import { loadRecipe } from "./user-recipe.js";

/**
 * Imports the module of a job's recipe into this process, and checks the options and parameter sets of the job. For a command that ends soon: a process that
 * goes on uses `checkJobInputs`, which imports the module in a thread.
 *
 * @param locationOf the location of a key of the job
 * @throws LAP_RECIPE_…
 */
export async function checkRecipeOptions(job: ResolvedJob, locationOf: (path: readonly string[]) => string): Promise<void> {
  if (!isRecipePath(job.recipe)) return;
  try {
    await loadRecipe(job);
    recipeOf(job).graphs(recipeRequest(job));
  } catch (error) {
    throw atKey(error, locationOf);
  }
}
