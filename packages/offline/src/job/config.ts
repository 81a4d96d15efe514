import { join } from "node:path";
import type { Warning } from "@lapidary/std";
import { checkJobInputs } from "@lapidary/trainer/inputs";
import { jobWarnings } from "@lapidary/training";
import type { Directories } from "../directories.js";
import { jobOfText, pipelineOfText } from "./job-text.js";
import { readLaunchFile } from "./submission.js";

export { jobFileOf, jobJsonSchema, pipelineJsonSchema, printJob } from "@lapidary/training";

/**
 * Checks a job file or a pipeline file, and the corpora and checkpoints that its jobs read.
 *
 * @throws LapidaryError the first mistake
 */
export async function checkJobFile(directories: Directories, file: string): Promise<readonly Warning[]> {
  const { text, isPipeline } = readLaunchFile(directories, file);
  const jobs = isPipeline
    ? (await pipelineOfText(directories, text, [])).jobs
    : [{ ...(await jobOfText(directories, text, [])), isPending: () => false }];
  const runsDirectory = join(directories.home, "runs");
  const found: Warning[] = [];
  for (const { job, locationOf, warnings, isPending } of jobs) {
    const inputs = await checkJobInputs(job, { projectRoot: directories.root, locationOf, runsDirectory, isPending });
    found.push(...warnings, ...inputs, ...jobWarnings(job));
  }
  return found;
}
