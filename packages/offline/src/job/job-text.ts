import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
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

export function readText({ cwd, root }: Places, file: string, directories: readonly string[]): JobText {
  const known = directories.map((name) => join(root, "configs", name, `${file}.yaml`)).find((path) => existsSync(path));
  const isName = /^[\w-]+$/.test(file) && !existsSync(resolve(cwd, file));
  return readJobText(isName && known !== undefined ? known : file, cwd);
}

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
