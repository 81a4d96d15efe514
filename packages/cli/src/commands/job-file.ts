import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadLocatedJob, type LocatedJob, type ResolvedJob } from "@lapidary/training/job";
import type { Context } from "../context.js";

/**
 * The job that a word of the command line means: a path, or the name of a file of `configs/jobs`. It is resolved here, where
 * relative paths mean what the user meant and errors can point into the file.
 *
 * @throws LapidaryError with exit code 2, or 4 for what does not fit its chips
 */
export function readJob(context: Pick<Context, "cwd" | "root" | "console">, job: string, overrides: readonly string[]): ResolvedJob {
  const { job: resolved, warnings } = readLocatedJob(context, job, overrides);
  for (const warning of warnings) context.console.warn(warning);
  return resolved;
}

/** As `readJob`, with the locations of keys and the warnings. */
export function readLocatedJob(context: Pick<Context, "cwd" | "root">, job: string, overrides: readonly string[]): LocatedJob {
  const configsDir = join(context.root, "configs");
  const known = join(configsDir, "jobs", `${job}.yaml`);
  const isName = /^[\w-]+$/.test(job) && !existsSync(resolve(context.cwd, job)) && existsSync(known);
  return loadLocatedJob(isName ? known : job, overrides, { configsDir, base: context.cwd });
}
