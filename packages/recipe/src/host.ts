/** What the trainer uses to run recipes that users wrote: `@lapidary/recipe/host`. */
export { ControllerThread } from "./controller-thread.js";
export type { ArrayOfRun, CallRequest, ProgramResult, RecipeDefinition } from "./definition.js";
export { stepProgram, userGraphs } from "./graphs.js";
export { importRecipe } from "./import-recipe.js";
export { recipeFailed } from "./recipe-errors.js";
