import { join } from "node:path";
import type { Warning } from "@lapidary/std";
import { checkInputs, jobWarnings } from "@lapidary/training";
import type { Directories } from "../directories.js";
import { readJobFile } from "./job-file.js";

export { jobFileOf, jobJsonSchema, printJob } from "@lapidary/training";

/**
 * Checks a job file, and the corpus and checkpoint that the job reads.
 *
 * @throws LapidaryError the first mistake
 */
export async function checkJobFile(directories: Directories, file: string): Promise<readonly Warning[]> {
  const { job, locationOf, warnings } = readJobFile(directories, file, []);
  const inputs = await checkInputs(job, { projectRoot: directories.root, locationOf, runsDirectory: join(directories.home, "runs") });
  return [...warnings, ...inputs, ...jobWarnings(job)];
}
