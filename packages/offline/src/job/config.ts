import { join, resolve } from "node:path";
import { readPipeline } from "@lapidary/data-pipeline";
import type { Warning } from "@lapidary/std";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { jobWarnings } from "@lapidary/training";
import { isDataEntry } from "@lapidary/training/job";
import type { Directories } from "../directories.js";
import { jobOfText, pipelineOfText } from "./job-text.js";
import { readLaunchFile } from "./submission.js";

export { jobFileOf, jobJsonSchema, pipelineJsonSchema, printJob } from "@lapidary/training";

/**
 * Checks a job file, a pipeline file or the file of a data pipeline, and the corpora and checkpoints that its jobs read.
 *
 * @throws LapidaryError the first mistake
 */
export async function checkJobFile(directories: Directories, file: string): Promise<readonly Warning[]> {
  const { text, isPipeline, isDataPipeline } = readLaunchFile(directories, file);
  if (isDataPipeline) {
    readPipeline(resolve(directories.cwd, file));
    return [];
  }
  const jobs = isPipeline
    ? (await pipelineOfText(directories, text, [])).jobs
    : [{ ...(await jobOfText(directories, text, [])), isPending: () => false }];
  const runsDirectory = join(directories.home, "runs");
  const found: Warning[] = [];
  for (const each of jobs) {
    if (isDataEntry(each)) {
      readPipeline(each.dataJob.pipeline);
      continue;
    }
    const { job, locationOf, warnings, isPending } = each;
    const inputs = await checkJobInputs(job, { projectRoot: directories.root, locationOf, runsDirectory, isPending });
    found.push(...warnings, ...inputs, ...jobWarnings(job));
  }
  return found;
}
