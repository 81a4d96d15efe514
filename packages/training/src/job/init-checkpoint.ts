import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { jobNamePattern } from "./job-schema.js";

/**
 * The directory that `init` names: a directory with a checkpoint, or the last complete checkpoint of a run. `lapidary sample` resolves a word by the
 * same rule. If neither exists, it is the path, and the check of the inputs reports the error.
 *
 * @param path `init` as an absolute path
 */
export function initDirectory(init: string, path: string, runsDirectory: string | undefined): string {
  if (runsDirectory === undefined || existsSync(join(path, "config.json")) || !jobNamePattern.test(init)) return path;
  const checkpoints = join(runsDirectory, init, "checkpoints");
  if (!existsSync(checkpoints)) return path;
  const steps = readdirSync(checkpoints)
    .flatMap((name) => (/^step-\d+$/.test(name) && existsSync(join(checkpoints, name, "config.json")) ? [Number(name.slice(5))] : []))
    .sort((a, b) => a - b);
  const last = steps.at(-1);
  return last === undefined ? path : join(checkpoints, `step-${last}`);
}
