import { parentPort, workerData } from "node:worker_threads";
import { ensure, LapidaryError } from "@lapidary/std";
import type { RecipeRequest } from "./recipe.js";
import { recipeOf } from "./recipes.js";
import { loadRecipe } from "./user-recipe.js";

/** The thread of a check: loads the module of a user's recipe and traces its programs. It posts the JSON of an error, or undefined. */

const port = ensure(parentPort, "the parent of the thread");
const request = workerData as RecipeRequest;
try {
  await loadRecipe(request);
  for (const { trace } of Object.values(recipeOf(request).graphs(request).graphs)) trace();
  port.postMessage(undefined);
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  port.postMessage(error.toJSON());
}
