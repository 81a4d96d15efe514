import { checkpointErrors } from "./error-codes/checkpoint.js";
import { cliErrors } from "./error-codes/cli.js";
import { configErrors } from "./error-codes/config.js";
import { coordinatorErrors } from "./error-codes/coordinator.js";
import { dataErrors } from "./error-codes/data.js";
import type { ErrorEntry } from "./error-codes/entry.js";
import { evaluationErrors } from "./error-codes/evaluation.js";
import { recipeErrors } from "./error-codes/recipe.js";
import { servingErrors } from "./error-codes/serving.js";
import { setupErrors } from "./error-codes/setup.js";
import { systemErrors } from "./error-codes/system.js";
import { trainingErrors } from "./error-codes/training.js";
import { warningCodes } from "./error-codes/warnings.js";
import { workerErrors } from "./error-codes/worker.js";

/** The registry of errors, one table for each section of docs/errors.md. */
export const errorAreas = {
  "Job files, meshes, rules, chips and programs": configErrors,
  "Corpora and tokenizers": dataErrors,
  "Checkpoints, weights and golden bundles": checkpointErrors,
  "Training, recovery and sampling": trainingErrors,
  "Recipes of users": recipeErrors,
  "Evaluation and checkers": evaluationErrors,
  "Workers and the channels between processes": workerErrors,
  "The coordinator, its queue, its API and Redis": coordinatorErrors,
  "The HTTP server of a trained model": servingErrors,
  "Commands, exports and comparisons": cliErrors,
  "Files, network and operating system": systemErrors,
  "Set-up, tools and the Python programs of an export": setupErrors,
} as const;

/** Every error code, with the properties of all errors of the code. The meaning of a code never changes. */
export const errorCodes = {
  ...configErrors,
  ...dataErrors,
  ...checkpointErrors,
  ...trainingErrors,
  ...recipeErrors,
  ...evaluationErrors,
  ...workerErrors,
  ...coordinatorErrors,
  ...servingErrors,
  ...cliErrors,
  ...systemErrors,
  ...setupErrors,
} as const;

export type ErrorCode = keyof typeof errorCodes;
export type WarningCode = keyof typeof warningCodes;

/** The codes whose remedy is in the registry: an error of such a code may omit its remedy. */
export type ErrorCodeWithRemedy = {
  [Code in ErrorCode]: (typeof errorCodes)[Code] extends { readonly remedy: string } ? Code : never;
}[ErrorCode];

declare const unknownCode: unique symbol;
/** A code of another process that the registry does not have. It is shown, is never recoverable and exits with 1. */
export type UnknownErrorCode = string & { readonly [unknownCode]: true };

export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorCodes, code);

/** The type of a code in a received text. */
export const errorCodeOf = (code: string): ErrorCode | UnknownErrorCode => (isErrorCode(code) ? code : (code as UnknownErrorCode));

/** @returns undefined for a code that the registry does not have */
export const errorEntry = (code: ErrorCode | UnknownErrorCode): ErrorEntry | undefined =>
  isErrorCode(code) ? errorCodes[code] : undefined;

export { warningCodes };
