import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { LapidaryError, suggest } from "@lapidary/std";
import {
  isDataEntry,
  type JobText,
  type LocatedJob,
  type Pipeline,
  readJobText,
  resolveLocatedJob,
  resolvePipeline,
} from "@lapidary/training/job";
import type { Directories } from "../directories.js";

type Places = Pick<Directories, "cwd" | "root">;

/** The directories that names in a job refer to. */
const environmentOf = ({ root, home }: Directories) => ({ configsDir: join(root, "configs"), runsDirectory: join(home, "runs") });

/** The text of a job or a pipeline: `file` is a path, or the name of a file in `configs/jobs` or `configs/pipelines`. @throws LAP_JOB_FILE */
export const readLaunchText = (places: Places, file: string): JobText => readText(places, file, ["jobs", "pipelines"]);

/**
 * @param directories the directories of `configs` whose files need no path
 * @param others further names that a user may mean, for the suggestion
 */
export function readText({ cwd, root }: Places, file: string, directories: readonly string[], others: readonly string[] = []): JobText {
  const isName = /^[\w.-]+$/.test(file) && !existsSync(resolve(cwd, file));
  if (!isName) return readJobText(file, cwd);
  const known = directories.map((name) => join(root, "configs", name, `${file}.yaml`)).find((path) => existsSync(path));
  if (known !== undefined) return readJobText(known, cwd);
  const near = suggest(file, [...directories.flatMap((name) => configNames(root, name)), ...others]);
  if (near === undefined) return readJobText(file, cwd);
  throw new LapidaryError({
    code: "LAP_JOB_FILE",
    message: `there is no job "${file}"`,
    location: file,
    remedy: `did you mean "${near}"?`,
  });
}

/** The names of the files in a directory of `configs`. */
export const configNames = (root: string, directory: string): string[] =>
  readdirSync(join(root, "configs", directory)).flatMap((file) => (file.endsWith(".yaml") ? [basename(file, ".yaml")] : []));

/** The job of a text. `loss_chunks: auto` is not decided. */
export const resolveJobText = (directories: Directories, text: JobText, overrides: readonly string[]): LocatedJob =>
  resolveLocatedJob(text, overrides, { ...environmentOf(directories), base: directories.cwd });

/** The job of a text. */
export const jobOfText = async (directories: Directories, text: JobText, overrides: readonly string[]): Promise<LocatedJob> =>
  decideLossChunks(resolveJobText(directories, text, overrides), directories);

/** The pipeline of a text. */
export async function pipelineOfText(directories: Directories, text: JobText, overrides: readonly string[]): Promise<Pipeline> {
  const pipeline = resolvePipeline(text, overrides, environmentOf(directories));
  return {
    ...pipeline,
    jobs: await Promise.all(pipeline.jobs.map((job) => (isDataEntry(job) ? job : decideLossChunks(job, directories)))),
  };
}

/** Most jobs name a number of pieces or none, and a command that submits them starts sooner without the compiler. */
const decideLossChunks = async <T extends LocatedJob>(located: T, { root }: Directories): Promise<T> =>
  located.job.loss_chunks === "auto" ? (await import("@lapidary/trainer/recipes")).locatedWithLossChunks(located, root) : located;
