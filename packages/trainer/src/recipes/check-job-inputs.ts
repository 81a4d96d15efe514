import { Worker } from "node:worker_threads";
import { type ErrorJSON, errorFromJSON, LapidaryError, type Warning } from "@lapidary/std";
import { checkInputs } from "@lapidary/training/inputs";
import type { InputCheckOptions } from "@lapidary/training";
import { isRecipePath, type ResolvedJob } from "@lapidary/training/job";
import { atKey } from "./key-location.js";

/** The longest time for loading the module of a recipe and tracing its programs. */
const limit_ms = 60_000;

/**
 * Checks the inputs of a job on this machine, as `checkInputs` does, and the recipe that a user wrote: its module is loaded and its programs are traced in a
 * thread, which ends then. So a mistake in the recipe is reported before the job waits in the queue.
 *
 * @returns findings that do not stop the job
 * @throws LapidaryError naming the key of the job file, or the line of the recipe
 */
export async function checkJobInputs(job: ResolvedJob, options: InputCheckOptions): Promise<readonly Warning[]> {
  const warnings = await checkInputs(job, options);
  if (!isRecipePath(job.recipe)) return warnings;
  const { locationOf = (path) => path.join("."), isPending = () => false } = options;
  // The shapes of a set are known when its run is done. The attempt then checks the recipe.
  if (Object.values(job.sets ?? {}).some(isPending)) return warnings;
  try {
    await checkInThread(job, job.recipe);
  } catch (error) {
    throw atKey(error, locationOf);
  }
  return warnings;
}

async function checkInThread(job: ResolvedJob, path: string): Promise<void> {
  // Most jobs have a recipe of Lapidary, and a command that checks them starts sooner without this import.
  const { recipeRequest } = await import("./recipe-request.js");
  const thread = new Worker(new URL("./check-thread.js", import.meta.url), { workerData: recipeRequest(job) });
  const timer = setTimeout(() => void thread.terminate(), limit_ms);
  try {
    const error = await new Promise<ErrorJSON | undefined>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
      thread.once("exit", () => reject(endedEarly(path)));
    });
    if (error !== undefined) throw errorFromJSON(error);
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}

const endedEarly = (path: string): LapidaryError =>
  new LapidaryError({
    code: "LAP_RECIPE_MODULE",
    message: `the module of the recipe ended its thread, or took longer than ${limit_ms / 1000} seconds to load and to trace its programs`,
    location: path,
    remedy: "make the module end its loading sooner, without process.exit",
  });
