import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { jobFilePath } from "@lapidary/api/job-file-path";
import { checkRecipeOptions, locatedWithLossChunks } from "@lapidary/trainer/recipes";
import { isRecipePath, type LocatedJob } from "@lapidary/training/job";
import type { Directories } from "../directories.js";
import { runDirectory, runNames } from "../runs/runs.js";
import { readText, resolveJobText } from "./job-text.js";

export { exportedAttention } from "./exported-attention.js";
export type { ResolvedJob } from "@lapidary/training/job";

/**
 * Resolves a job: `job` is a path, the name of a file in `configs/jobs`, or a run. Relative paths in the file are resolved here, and errors point into the file.
 *
 * @throws LapidaryError with exit code 2, or with exit code 4 if the job does not fit its chips
 */
export const readJobFile = (places: Directories, job: string, overrides: readonly string[]): LocatedJob =>
  locatedWithLossChunks(
    resolveJobText(places, readText(places, jobFileOfRun(places, job) ?? job, ["jobs"], runNames(places.home)), overrides),
    places.root,
  );

/** The job file of a run, if no other file has this name. */
function jobFileOfRun({ cwd, root, home }: Directories, name: string): string | undefined {
  const isFile = existsSync(resolve(cwd, name)) || existsSync(join(root, "configs/jobs", `${name}.yaml`));
  return !isFile && runNames(home).includes(name) ? jobFilePath(runDirectory(home, name)) : undefined;
}

/** As `readJobFile`. The module of a user's recipe is imported into this process, so that the programs of the job can be traced. @throws LAP_RECIPE_… */
export async function readTraceableJob(places: Directories, job: string, overrides: readonly string[]): Promise<LocatedJob> {
  const located = readJobFile(places, job, overrides);
  if (isRecipePath(located.job.recipe)) await checkRecipeOptions(located.job, located.locationOf);
  return located;
}
