/** The recipes of runs without the processes that execute them: `@lapidary/trainer/recipes`. */
export { checkRecipeOptions } from "./check-recipe-options.js";
export { compileJob } from "./compile-job.js";
