import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { epochStale } from "./checkpoint-errors.js";

/** Who may write to a run: the attempt with the largest number. */
export interface Fence {
  readonly epoch: number;
  /** @throws LAP_EPOCH_STALE when another attempt has taken over */
  check(): void;
}

/**
 * The fence of a run's files, on the disk that they lie on: `epochs/<number>` is created exclusively, so that of two processes that believe to lead
 * only one gets a number, and the older one finds the newer number before each commit. Redis is not asked.
 */
export class RunFence implements Fence {
  private constructor(
    private readonly directory: string,
    readonly epoch: number,
  ) {}

  /** Takes over: every earlier attempt is refused from now on. */
  static claim(runDirectory: string): RunFence {
    const directory = join(runDirectory, "epochs");
    mkdirSync(directory, { recursive: true });
    for (;;) {
      const epoch = newestEpoch(directory) + 1;
      try {
        writeFileSync(join(directory, String(epoch)), `${process.pid}\n`, { flag: "wx", mode: 0o600 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
        throw error;
      }
      // Two are enough to know who is the newest, whatever is removed in between.
      for (const old of epochsIn(directory)) if (old < epoch - 1) rmSync(join(directory, String(old)), { force: true });
      return new RunFence(directory, epoch);
    }
  }

  check(): void {
    const newest = newestEpoch(this.directory);
    if (newest > this.epoch) throw epochStale(this.directory, this.epoch, newest);
  }
}

const epochsIn = (directory: string): number[] => readdirSync(directory).map(Number).filter(Number.isSafeInteger);

const newestEpoch = (directory: string): number => Math.max(0, ...epochsIn(directory));
