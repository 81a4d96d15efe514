import { accessSync, constants, statfsSync } from "node:fs";
import { buildModel } from "@lapidary/models";
import { formatBytes, LapidaryError, type Warning } from "@lapidary/std";
import { type ResolvedJob, trainState } from "@lapidary/training";

/**
 * Checks the directory in which a job will write its run, before the job waits for its chips.
 *
 * @param directory of all runs
 * @returns a warning if the disk has no space for one checkpoint, because space can become free before the first one
 * @throws LAP_RUNS_UNWRITABLE
 */
export function checkOutput(job: ResolvedJob, directory: string): readonly Warning[] {
  checkWritable(directory);
  const needed = checkpointBytes(job);
  const free = freeBytes(directory);
  if (free === undefined || needed <= free) return [];
  return [
    {
      code: "LAP_CHECKPOINT_SPACE",
      message: `a checkpoint of this job takes ${formatBytes(needed)}, and the disk has ${formatBytes(free)} left`,
      place: directory,
      remedy: "free space before the job writes its first checkpoint, or choose a home on another disk with LAPIDARY_HOME",
    },
  ];
}

/** Weights and the state of the optimizer, in f32. */
const checkpointBytes = ({ model, train }: ResolvedJob): number =>
  trainState(buildModel(model.config), train.optimizer).reduce((sum, { dims }) => sum + 4 * dims.reduce((n, size) => n * size, 1), 0);

/** Undefined if the file system does not report it. */
function freeBytes(directory: string): number | undefined {
  try {
    const { bavail, bsize, blocks } = statfsSync(directory);
    return blocks === 0 ? undefined : bavail * bsize;
  } catch {
    return undefined;
  }
}

/** @param directory of all runs @throws LAP_RUNS_UNWRITABLE */
export function checkWritable(directory: string): void {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new LapidaryError({
      code: "LAP_RUNS_UNWRITABLE",
      message: `no run can be written: the directory of runs is not writable (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`,
      location: directory,
      cause,
    });
  }
}
