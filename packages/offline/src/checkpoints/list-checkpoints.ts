import { statSync } from "node:fs";
import { join } from "node:path";
import { knownRun, runCheckpoints } from "./resolve-checkpoint.js";
import { runNames } from "../runs/runs.js";

export interface ListedCheckpoint {
  readonly run: string;
  readonly step: number;
  readonly path: string;
  /** Size of the weights. */
  readonly bytes: number;
  /** When the directory was written, in milliseconds since the epoch. */
  readonly time: number;
}

/**
 * The checkpoints of a run, or of all runs.
 *
 * @throws LAP_CHECKPOINT_NOT_FOUND (exit 102) if no run has this name
 */
export function listCheckpoints(home: string, run: string | undefined): ListedCheckpoint[] {
  const runs = run === undefined ? runNames(home) : [knownRun(home, run)];
  return runs
    .flatMap((name) => runCheckpoints(home, name))
    .map(({ directory, run: name, step }) => ({
      run: name,
      step,
      path: directory,
      bytes: weightBytes(directory),
      time: statSync(directory).mtimeMs,
    }));
}

const weightBytes = (directory: string): number => statSync(join(directory, "model.safetensors"), { throwIfNoEntry: false })?.size ?? 0;
