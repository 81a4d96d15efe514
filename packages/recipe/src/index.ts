/**
 * The interface of recipes that users write, version 1: `import { defineRecipe, option } from "@lapidary/recipe"`. A module of a recipe may be anywhere:
 * this import finds the package of the Lapidary that loads the module. docs/recipes.md describes the interface.
 */
export {
  type ArrayOfRun,
  type CallRequest,
  type Evaluation,
  type GraphInputs,
  type ParameterSetInputs,
  type ProgramResult,
  type RecipeController,
  type RecipeDefinition,
  type RecipeRun,
  type TokenLosses,
  type UpdateRequest,
  apiVersion,
  defineRecipe,
} from "./definition.js";
export { type OptionSpec, type OptionSpecs, type OptionValues, option } from "./options.js";
export { type GraphBuilder, type Value, tensorType } from "@lapidary/ir";
export { tokenLosses } from "@lapidary/models";
