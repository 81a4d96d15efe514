import { ExitCode } from "../exit-code.js";
import type { ErrorTable } from "./entry.js";

/** Errors of this area: recipes that users write. */
export const recipeErrors = {
  LAP_RECIPE_MODULE: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The module of a recipe does not exist, cannot be loaded, or exports no valid recipe.",
  },
  LAP_RECIPE_VERSION: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "A recipe was written for another version of the interface of recipes.",
  },
  LAP_RECIPE_OPTION: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "An option or a parameter set of a job is not one that its recipe declares, or has a wrong value.",
  },
  LAP_RECIPE_CHANGED: {
    exit: ExitCode.usage,
    recoverable: false,
    summary: "The module of a recipe changed after its run began.",
  },
  LAP_RECIPE_FAILED: { exit: ExitCode.other, recoverable: false, summary: "The code of a recipe threw an error." },
} as const satisfies ErrorTable;
