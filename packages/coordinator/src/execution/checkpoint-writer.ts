import { LapidaryError } from "@lapidary/std";
import type { CheckpointContent, CheckpointStore, VerifiedCheckpoint } from "../checkpoints/checkpoint-store.js";

/** Hears what becomes of checkpoints. */
export interface CheckpointNews {
  readonly written: (checkpoint: VerifiedCheckpoint) => void;
  readonly refused: (step: number, error: LapidaryError) => void;
}

/**
 * Writes checkpoints while training goes on, one at a time. What the disk refuses is told and does not stop anything: the checkpoint before it is
 * whole, and the next one may succeed.
 */
export class CheckpointWriter {
  readonly #news: CheckpointNews;
  #work: Promise<void> = Promise.resolve();
  #last: { readonly step: number; readonly outcome: VerifiedCheckpoint | LapidaryError } | undefined;

  constructor(news: CheckpointNews) {
    this.#news = news;
  }

  /** Settles, and never rejects, when nothing is being written. */
  idle(): Promise<void> {
    return this.#work;
  }

  /** The last checkpoint that was written or refused. */
  get last(): { readonly step: number; readonly outcome: VerifiedCheckpoint | LapidaryError } | undefined {
    return this.#last;
  }

  write(store: CheckpointStore, content: CheckpointContent, keep: number): void {
    const { step } = content.about;
    this.#work = this.#work.then(async () => {
      try {
        const checkpoint = await store.write(content, keep);
        this.#last = { step, outcome: checkpoint };
        this.#news.written(checkpoint);
      } catch (error) {
        const told = error instanceof LapidaryError ? error : internal(step, error);
        this.#last = { step, outcome: told };
        this.#news.refused(step, told);
      }
    });
  }
}

function internal(step: number, cause: unknown): LapidaryError {
  return new LapidaryError({
    code: "LAP_CHECKPOINT_WRITE",
    message: `the checkpoint of step ${step} failed by a mistake of Lapidary: ${cause instanceof Error ? cause.message : String(cause)}`,
    place: `step ${step}`,
    remedy: "report it with the log of the coordinator; earlier checkpoints are whole",
    exit: 100,
    cause,
  });
}
