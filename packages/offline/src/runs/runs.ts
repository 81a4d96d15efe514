import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** Runs as directories of the state directory. */

export const runDirectory = (home: string, run: string): string => join(home, "runs", run);

/** The names that the coordinator gives to runs. No such name leads out of the directory of runs. */
export const isRunName = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text);

/** Names of all runs, the oldest first. */
export function runNames(home: string): string[] {
  const directory = join(home, "runs");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => isRunName(name) && statSync(join(directory, name)).isDirectory())
    .sort((a, b) => statSync(join(directory, a)).birthtimeMs - statSync(join(directory, b)).birthtimeMs);
}

/** Whether the run in a directory has ended, by its summary. A run that has ended writes no more checkpoints and steps. */
export function hasEnded(directory: string): boolean {
  const path = join(directory, "summary.json");
  return existsSync(path) && /"finished_at":/.test(readFileSync(path, "utf8"));
}
