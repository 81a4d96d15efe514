import type { Clock, Failpoints, LapidaryError } from "@lapidary/std";
import type { TrainRow } from "@lapidary/api";
import type { CheckpointContent, VerifiedCheckpoint } from "@lapidary/checkpoint";
import type { Disk } from "@lapidary/checkpoint";
import type { Fence } from "@lapidary/checkpoint";
import type { CopyReport } from "@lapidary/cluster";
import type { RunEvent } from "@lapidary/api/run-events";
import type { Goodput } from "./goodput.js";
import type { StepMetrics } from "./run-programs.js";

/** The state of a run on the workers of one attempt. */
export interface AttemptState {
  /** Draws the first state. */
  initialize(): Promise<void>;
  /** Takes the state from a checkpoint. */
  load(checkpoint: VerifiedCheckpoint): Promise<void>;
  /** Takes the state from the workers' memory; the update it is behind, or undefined if no whole copy is left. */
  restoreCopies(latest: number): Promise<number | undefined>;
  copy(step: number, committed: number): Promise<CopyReport>;
  /** Step number `step`, from 0, on batch number `batch`. */
  train(step: number, batch: number): Promise<StepMetrics>;
  /** Takes the state as it is behind all that was dispatched: sends at once, and resolves when it is here. */
  take(step: number): Promise<TakenState>;
}

/** The state behind a step, outside of the workers. */
export interface TakenState {
  /** What a checkpoint of it holds. @param ledger digest at its step */
  content(ledger: string): CheckpointContent;
  /** Nobody needs it any more. */
  release(): void;
}

/** A gang that trains under one epoch. */
export interface TrainingAttempt {
  readonly state: AttemptState;
  /** What decides in which order numbers are added. Equal layouts compute equal bits. */
  readonly layout: string;
  /** Settles, and never rejects, when the gang has failed. */
  readonly failed: Promise<LapidaryError>;
  /** @param keepCopies whether the next attempt may want what the workers remember */
  close(keepCopies: boolean): Promise<void>;
}

export interface TrainOptions<A extends TrainingAttempt> {
  readonly disk: Disk;
  /** Of the run. */
  readonly directory: string;
  readonly checkpoints: string;
  /** Takes over the run's files: every earlier attempt is refused from then on. */
  readonly claim: () => Fence;
  /** A gang with its programs loaded, under a new epoch. */
  readonly open: (epoch: number) => Promise<A>;
  readonly steps: number;
  readonly tokensPerStep: number;
  readonly keep: number;
  /** Whether a checkpoint is due behind a step, besides the last. */
  readonly saves: (step: number) => boolean;
  /** What else is to be done behind a step. */
  readonly between: (attempt: A, step: number) => (() => Promise<void>) | undefined;
  /** Whether another attempt should have more workers than this one; and, asked behind a checkpoint, whether it could. */
  readonly regroups?: { readonly wanted: () => boolean; readonly possible: () => Promise<boolean> };
  /** What is left to be done with the state behind the last step, before the gang is let go. */
  readonly finish: (attempt: A) => Promise<void>;
  readonly clock: Clock;
  /** Ends everything at once. */
  readonly signal: AbortSignal;
  /** Ends training in good order: behind the steps under way, with a checkpoint. */
  readonly halt: AbortSignal;
  readonly failpoints: Failpoints;
  readonly goodput: Goodput;
  /** What is done about batches that harm the run; undefined: a loss that is no number ends it. */
  readonly guard?: Guard | undefined;
  readonly events: TrainEvents;
}

export interface Guard {
  readonly not_finite: "stop" | "skip";
  /** A loss so many times the mean of the last steps is a spike. */
  readonly spike?: number | undefined;
  /** Batches that may be left out in all. */
  readonly max_skipped: number;
}

/** The sink of what happens during training, and what training asks of it. */
export interface TrainEvents {
  readonly emit: (event: RunEvent) => void;
  readonly row: (row: TrainRow, isNew: boolean) => void;
  /** The last step whose row was reported, by any coordinator: one that is killed may have committed one more. */
  readonly reported: () => number;
  /** Everything reported so far must survive a power cut, because a checkpoint is about to say that these steps are done. */
  readonly sync: () => void;
  readonly batchName: (batch: number) => string;
}

export interface TrainResult {
  readonly loss: number;
  /** Targets that counted, over all committed steps. */
  readonly tokens: number;
  readonly train_ms: number;
  readonly step: number;
  readonly checkpoint: VerifiedCheckpoint;
}
