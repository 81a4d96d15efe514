import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { loadPlacedJob, type PlacedJob, type ResolvedJob } from "@lapidary/training/job";
import type { Context } from "../context.js";

/**
 * The job that a word of the command line means: a path, or the name of a file of `configs/jobs`. It is resolved here, where
 * relative paths mean what the user meant and errors can point into the file.
 *
 * @throws LapidaryError with exit code 2, or 4 for what does not fit its chips
 */
export const readJob = (context: Pick<Context, "cwd" | "root">, job: string, overrides: readonly string[]): ResolvedJob =>
  readPlacedJob(context, job, overrides).job;

/** As `readJob`, with where the file or an override says a key. */
export function readPlacedJob(context: Pick<Context, "cwd" | "root">, job: string, overrides: readonly string[]): PlacedJob {
  const configsDir = join(context.root, "configs");
  const known = join(configsDir, "jobs", `${job}.yaml`);
  const isName = /^[\w-]+$/.test(job) && !existsSync(resolve(context.cwd, job)) && existsSync(known);
  return loadPlacedJob(isName ? known : job, overrides, { configsDir, base: context.cwd });
}
