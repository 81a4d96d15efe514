/** The recipes of runs without the processes that execute them: `@lapidary/trainer/recipes`. */
export { checkRecipeOptions } from "./check-recipe-options.js";
export { compileJob, statesOfJob } from "./compile-job.js";
export { loadRecipe } from "./user-recipe.js";
