import { readTraceableJob, type ResolvedJob } from "@lapidary/offline/job-file";
import type { Context } from "../context.js";

/**
 * Resolves the job that a word of the command line names, and prints the warnings of its file.
 *
 * @throws LapidaryError with exit code 2, or with exit code 4 if the job does not fit its chips
 */
export async function readJob(context: Context, job: string, overrides: readonly string[]): Promise<ResolvedJob> {
  const { job: resolved, warnings } = await readTraceableJob(context, job, overrides);
  for (const warning of warnings) context.console.warn(warning);
  return resolved;
}
