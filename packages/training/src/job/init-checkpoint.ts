import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { jobNamePattern } from "./job-schema.js";

/** What `init` may name instead of a directory. */
export interface InitNames {
  /** The other jobs of a pipeline, by name, with what `init` becomes if it names one of them. */
  readonly runs?: ReadonlyMap<string, string> | undefined;
  /** The directory of all runs. Without it, `init` does not name a run. */
  readonly runsDirectory?: string | undefined;
}

/**
 * What `init` names, in this order: a job of the pipeline, a directory with a checkpoint, the last complete checkpoint of a run. `lapidary sample`
 * resolves a word by the same rule, without jobs. If none of them exists, it is the path, and the check of the inputs reports the error.
 *
 * @param path `init` as an absolute path
 */
export function initDirectory(init: string, path: string, { runs, runsDirectory }: InitNames): string {
  const run = runs?.get(init);
  if (run !== undefined) return run;
  if (runsDirectory === undefined || isCheckpoint(path) || !jobNamePattern.test(init)) return path;
  const checkpoints = join(runsDirectory, init, "checkpoints");
  if (!existsSync(checkpoints)) return path;
  const steps = readdirSync(checkpoints)
    .flatMap((name) => (/^step-\d+$/.test(name) && isCheckpoint(join(checkpoints, name)) ? [Number(name.slice(5))] : []))
    .sort((a, b) => a - b);
  const last = steps.at(-1);
  return last === undefined ? path : join(checkpoints, `step-${last}`);
}

/** Whether a directory has the configuration of a model, or of an adapter. */
const isCheckpoint = (directory: string): boolean =>
  ["config.json", "adapter_config.json"].some((name) => existsSync(join(directory, name)));
