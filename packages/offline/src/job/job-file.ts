import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadLocatedJob, type LocatedJob } from "@lapidary/training/job";
import type { Directories } from "../directories.js";

export type { ResolvedJob } from "@lapidary/training/job";

/**
 * Resolves a job: `job` is a path, or the name of a file in `configs/jobs`. Relative paths in the file are resolved here, and errors point into the file.
 *
 * @throws LapidaryError with exit code 2, or with exit code 4 if the job does not fit its chips
 */
export function readJobFile({ cwd, root, home }: Directories, job: string, overrides: readonly string[]): LocatedJob {
  const configsDir = join(root, "configs");
  const known = join(configsDir, "jobs", `${job}.yaml`);
  const isName = /^[\w-]+$/.test(job) && !existsSync(resolve(cwd, job)) && existsSync(known);
  return loadLocatedJob(isName ? known : job, overrides, { configsDir, base: cwd, runsDirectory: join(home, "runs") });
}
