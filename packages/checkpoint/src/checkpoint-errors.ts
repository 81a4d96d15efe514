import { basename, dirname } from "node:path";
import { LapidaryError } from "@lapidary/std";

/** @param shard the damaged file, and the tensor in it */
export function checkpointDamaged(directory: string, shard: string, problem: string, cause?: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_CHECKPOINT_DAMAGED",
    message: `${shard} is damaged: ${problem}`,
    location: `${directory}: ${shard}`,
    cause,
  });
}

/** An error of the disk becomes LAP_CHECKPOINT_WRITE; any other error is returned unchanged. */
export function asWriteError(location: string, cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (syscall === undefined) return cause;
  return new LapidaryError({
    code: "LAP_CHECKPOINT_WRITE",
    message: `the checkpoint cannot be written: ${code ?? syscall}`,
    location,
    remedy: "free disk space, or check that the home directory can be written; earlier checkpoints are complete",
    cause,
  });
}

/**
 * An error of the disk becomes LAP_LEDGER_WRITE; any other error is returned unchanged. Without a step log no step is committed: the job ends, and can be
 * resumed when the disk has space.
 *
 * @param what the file that was written: of the step log, or the epoch of an attempt
 */
export function asStepLogError(what: string, path: string, cause: unknown): unknown {
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (syscall === undefined) return cause;
  return new LapidaryError({
    code: "LAP_LEDGER_WRITE",
    message: `${what} cannot be written: ${code ?? syscall}`,
    location: path,
    remedy: `free disk space, or check that the home directory can be written; then \`lapidary jobs resume ${basename(dirname(path))}\``,
    cause,
  });
}

/** An attempt wants to write to a run that a newer attempt has taken over. */
export class EpochStaleError extends LapidaryError {
  readonly newest: number;

  constructor(directory: string, epoch: number, newest: number) {
    super({
      code: "LAP_EPOCH_STALE",
      message: `attempt ${epoch} of the run may not write any more: attempt ${newest} has taken over`,
      location: directory,
    });
    this.newest = newest;
  }
}
