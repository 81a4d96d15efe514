import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  isRecipePath,
  type JobText,
  type LocatedJob,
  type Pipeline,
  readJobText,
  resolveLocatedJob,
  resolvePipeline,
} from "@lapidary/training/job";
import { jobFilePath } from "@lapidary/api/job-file";
import type { Directories } from "../directories.js";
import { runDirectory, runNames } from "../runs/runs.js";

export type { ResolvedJob } from "@lapidary/training/job";

type Places = Pick<Directories, "cwd" | "root">;

/** The directories that names in a job refer to. */
const environmentOf = ({ root, home }: Directories) => ({ configsDir: join(root, "configs"), runsDirectory: join(home, "runs") });

/**
 * Resolves a job: `job` is a path, the name of a file in `configs/jobs`, or a run. Relative paths in the file are resolved here, and errors point into the file.
 *
 * @throws LapidaryError with exit code 2, or with exit code 4 if the job does not fit its chips
 */
export const readJobFile = (places: Directories, job: string, overrides: readonly string[]): LocatedJob =>
  jobOfText(places, readText(places, jobFileOfRun(places, job) ?? job, ["jobs"]), overrides);

/** The job file of a run, if no other file has this name. */
function jobFileOfRun({ cwd, root, home }: Directories, name: string): string | undefined {
  const isFile = existsSync(resolve(cwd, name)) || existsSync(join(root, "configs/jobs", `${name}.yaml`));
  return !isFile && runNames(home).includes(name) ? jobFilePath(runDirectory(home, name)) : undefined;
}

/** As `readJobFile`. The module of a user's recipe is imported into this process, so that the programs of the job can be traced. @throws LAP_RECIPE_… */
export async function readTraceableJob(places: Directories, job: string, overrides: readonly string[]): Promise<LocatedJob> {
  const located = readJobFile(places, job, overrides);
  if (isRecipePath(located.job.recipe))
    await (await import("@lapidary/trainer/recipes")).checkRecipeOptions(located.job, located.locationOf);
  return located;
}

/** The text of a job or a pipeline: `file` is a path, or the name of a file in `configs/jobs` or `configs/pipelines`. @throws LAP_JOB_FILE */
export const readLaunchText = (places: Places, file: string): JobText => readText(places, file, ["jobs", "pipelines"]);

export const jobOfText = (directories: Directories, text: JobText, overrides: readonly string[]): LocatedJob =>
  resolveLocatedJob(text, overrides, { ...environmentOf(directories), base: directories.cwd });

export const pipelineOfText = (directories: Directories, text: JobText, overrides: readonly string[]): Pipeline =>
  resolvePipeline(text, overrides, environmentOf(directories));

function readText({ cwd, root }: Places, file: string, directories: readonly string[]): JobText {
  const known = directories.map((name) => join(root, "configs", name, `${file}.yaml`)).find((path) => existsSync(path));
  const isName = /^[\w-]+$/.test(file) && !existsSync(resolve(cwd, file));
  return readJobText(isName && known !== undefined ? known : file, cwd);
}
