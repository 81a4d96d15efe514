/** What the trainer uses to run recipes that users wrote: `@lapidary/recipe/host`. */
export { type ControllerHost, ControllerThread } from "./controller-thread.js";
export type { ArrayOfRun, CallRequest, Evaluation, ProgramResult, RecipeDefinition, UpdateRequest } from "./definition.js";
export { type GraphRequest, stepProgram, userGraphs } from "./graphs.js";
export { checkHash, importRecipe } from "./import-recipe.js";
export { recipeFailed } from "./recipe-errors.js";
