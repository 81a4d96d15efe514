import { join } from "node:path";
import { asStepLogError, EpochStaleError } from "./checkpoint-errors.js";
import type { Disk } from "./disk.js";

/** Allows writes to a run for the attempt with the largest number alone. */
export interface Fence {
  readonly epoch: number;
  /** @throws LAP_EPOCH_STALE if another attempt has taken over */
  check(): void;
}

/**
 * The fence of a run's files, on the same disk: `epochs/<number>` is created exclusively. If two processes try to lead, only one
 * gets a number, and the older one finds the newer number before each commit. The fence does not depend on Redis. A number is durable before the
 * attempt uses it, so that no later attempt has the same number.
 */
export class RunFence implements Fence {
  private constructor(
    private readonly disk: Disk,
    private readonly directory: string,
    readonly epoch: number,
  ) {}

  /** Takes over: every earlier attempt is rejected from now on. @throws LAP_LEDGER_WRITE if the disk fails */
  static claim(disk: Disk, runDirectory: string): RunFence {
    const directory = join(runDirectory, "epochs");
    try {
      return RunFence.#claim(disk, runDirectory, directory);
    } catch (error) {
      throw asStepLogError("the epoch of the attempt", directory, error);
    }
  }

  static #claim(disk: Disk, runDirectory: string, directory: string): RunFence {
    for (;;) {
      const epoch = newestEpoch(disk, directory) + 1;
      if (!disk.createExclusive(join(directory, String(epoch)), `${process.pid}\n`)) continue;
      for (const path of [directory, runDirectory]) disk.syncDirectoryNow(path);
      // The two newest files are enough to find the newest attempt, whatever other processes remove.
      for (const old of epochsIn(disk, directory)) if (old < epoch - 1) disk.removeNow(join(directory, String(old)));
      return new RunFence(disk, directory, epoch);
    }
  }

  check(): void {
    const newest = newestEpoch(this.disk, this.directory);
    if (newest > this.epoch) throw new EpochStaleError(this.directory, this.epoch, newest);
  }
}

const epochsIn = (disk: Disk, directory: string): number[] => disk.listNow(directory).map(Number).filter(Number.isSafeInteger);

const newestEpoch = (disk: Disk, directory: string): number => Math.max(0, ...epochsIn(disk, directory));
