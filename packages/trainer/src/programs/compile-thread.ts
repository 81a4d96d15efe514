import { parentPort, workerData } from "node:worker_threads";
import { type ErrorJSON, LapidaryError, ensure } from "@lapidary/std";
import { buildStepPrograms, type StepProgramRequest } from "../imported/step-programs.js";
import { loadRecipe } from "../recipes/user-recipe.js";
import { buildPrograms, type ProgramSet } from "./build.js";
import type { ProgramRequest } from "./program-request.js";

/** Messages of the thread. An internal error ends the thread, and arrives as its `error` event. */
export type FromCompileThread =
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "done"; readonly set: ProgramSet }
  | { readonly kind: "failed"; readonly error: ErrorJSON };

const port = ensure(parentPort, "parent of the thread");
const post = (message: FromCompileThread): void => port.postMessage(message);
try {
  const request = workerData as ProgramRequest | StepProgramRequest;
  const onProgress = (done: number, total: number): void => post({ kind: "progress", done, total });
  if ("step_hash" in request) post({ kind: "done", set: buildStepPrograms(request, onProgress) });
  else {
    const hasController = await loadRecipe(request);
    const set = buildPrograms(request, onProgress);
    post({ kind: "done", set: hasController ? { ...set, hasController } : set });
  }
} catch (error) {
  if (!(error instanceof LapidaryError)) throw error;
  post({ kind: "failed", error: error.toJSON() });
}
