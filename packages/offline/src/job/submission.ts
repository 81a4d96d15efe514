import { join } from "node:path";
import type { Warning } from "@lapidary/std";
import { checkInputs } from "@lapidary/training/inputs";
import { jobFileOf } from "@lapidary/training/job";
import type { Directories } from "../directories.js";
import { readJobFile } from "./job-file.js";

/** A job as the coordinator receives it. */
export interface JobSubmission {
  /** A job file that needs no other file of `configs`. */
  readonly job: ReturnType<typeof jobFileOf>;
  readonly priority: number;
}

/**
 * Resolves a job and checks its corpus and checkpoint before the coordinator is asked. The coordinator repeats the checks and returns their warnings;
 * here, an error names the line of the file.
 *
 * @param onWarning receives warnings of the file: renamed keys
 */
export async function readSubmission(
  directories: Directories,
  file: string,
  overrides: readonly string[],
  onWarning: (warning: Warning) => void,
): Promise<JobSubmission> {
  const { job, locationOf, warnings } = readJobFile(directories, file, overrides);
  warnings.forEach(onWarning);
  await checkInputs(job, { projectRoot: directories.root, locationOf, runsDirectory: join(directories.home, "runs") });
  return { job: jobFileOf(job), priority: job.priority };
}
