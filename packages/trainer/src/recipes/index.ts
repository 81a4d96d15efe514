/** The recipes of runs without the processes that execute them: `@lapidary/trainer/recipes`. */
export type { RunFigures, StepFigures } from "../programs/step-figures.js";
export type { TimedVariant } from "../programs/compile-step.js";
export { compileJob, type CompileJobOptions, hasOneRun, programNames, rulesOf, statesOfJob, timeJob } from "./compile-job.js";
export { type StepPhase, stepPhases } from "./recipe.js";
export { checkRecipeOptions } from "./check-recipe-options.js";
export { loadRecipe } from "./user-recipe.js";
