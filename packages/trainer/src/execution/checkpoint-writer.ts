import { isSystemError, LapidaryError, systemError } from "@lapidary/std";
import type { CheckpointContent, CheckpointStore, VerifiedCheckpoint } from "@lapidary/checkpoint";

/** Callbacks for checkpoints that were written or refused. */
export interface CheckpointEvents {
  readonly written: (checkpoint: VerifiedCheckpoint) => void;
  readonly refused: (step: number, error: LapidaryError) => void;
}

/** A checkpoint to write. */
export interface DueCheckpoint {
  readonly step: number;
  readonly store: CheckpointStore;
  readonly keep: number;
  /** Its contents, once they are in this process; undefined: the worker group that has them has failed. */
  readonly content: () => Promise<CheckpointContent | undefined>;
  /** Called when it was written or rejected, or when it will not be written. */
  readonly done: () => void;
}

/**
 * Writes checkpoints while training continues, one at a time, in the order of calls. A failed write is reported and does not stop training: the
 * previous checkpoint is complete, and the next write may succeed.
 */
export class CheckpointWriter {
  readonly #events: CheckpointEvents;
  #work: Promise<void> = Promise.resolve();
  /** For each checkpoint that is not done: a promise of its end. */
  readonly #due: Promise<void>[] = [];
  #last: { readonly step: number; readonly outcome: VerifiedCheckpoint | LapidaryError } | undefined;

  constructor(events: CheckpointEvents) {
    this.#events = events;
  }

  /** Settles, and never rejects, when no checkpoint is being written. */
  idle(): Promise<void> {
    return this.#work;
  }

  /** Checkpoints that are not done yet. */
  get outstanding(): number {
    return this.#due.length;
  }

  /** Settles, and never rejects, when the oldest of them is done. */
  oldest(): Promise<void> {
    return this.#due[0] ?? Promise.resolve();
  }

  /** The last checkpoint that was written or rejected. */
  get last(): { readonly step: number; readonly outcome: VerifiedCheckpoint | LapidaryError } | undefined {
    return this.#last;
  }

  write(due: DueCheckpoint): void {
    this.#work = this.#work.then(async () => {
      await this.#write(due);
      due.done();
      void this.#due.shift();
    });
    this.#due.push(this.#work);
  }

  async #write({ step, store, keep, content }: DueCheckpoint): Promise<void> {
    try {
      const known = await content();
      if (known === undefined) return;
      const checkpoint = await store.write(known, keep);
      this.#last = { step, outcome: checkpoint };
      this.#events.written(checkpoint);
    } catch (error) {
      const reported = error instanceof LapidaryError ? error : internal(step, error);
      this.#last = { step, outcome: reported };
      this.#events.refused(step, reported);
    }
  }
}

function internal(step: number, cause: unknown): LapidaryError {
  if (isSystemError(cause)) {
    const { message, location, remedy } = systemError(cause, { doing: `write the checkpoint of step ${step}` });
    return new LapidaryError({ code: "LAP_CHECKPOINT_WRITE", message, location, remedy, cause });
  }
  return new LapidaryError({
    code: "LAP_CHECKPOINT_WRITE",
    message: `internal error: the checkpoint of step ${step} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
    location: `step ${step}`,
    remedy: "report it with logs/coordinator.log of the home directory, which `lapidary status` prints; earlier checkpoints are complete",
    cause,
  });
}
