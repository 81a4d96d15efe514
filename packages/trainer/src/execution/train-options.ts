import type { Clock, Failpoints, LapidaryError } from "@lapidary/std";
import type { TrainRow } from "@lapidary/api";
import type { CheckpointContent, VerifiedCheckpoint, Disk, Fence } from "@lapidary/checkpoint";
import type { ReplicationReport } from "@lapidary/cluster";
import type { RunEvent } from "@lapidary/api/run-events";
import type { Goodput } from "./goodput.js";
import type { StepMetrics } from "../recipes/recipe.js";

/** The state of a run on the workers of one attempt. */
export interface AttemptState {
  /** Initializes the state. */
  initialize(): Promise<void>;
  /** Loads the state of a checkpoint. */
  load(checkpoint: VerifiedCheckpoint): Promise<void>;
  /** Restores the state from replicas. @returns the number of updates it has had, or undefined if a block has no replica */
  restoreReplicas(latest: number): Promise<number | undefined>;
  /** Replicates the state in the memory of the workers. @param committed the last committed step: older replicas are not needed */
  replicate(step: number, committed: number): Promise<ReplicationReport>;
  /** Step number `step`, from 0, on batch number `batch`. */
  train(step: number, batch: number): Promise<StepMetrics>;
  /** Captures the state after all steps that were dispatched before. Resolves when the state is in this process. */
  capture(step: number): Promise<CapturedState>;
}

/** The state after a step, outside of the workers. */
export interface CapturedState {
  /** The contents of its checkpoint. @param ledger digest of the step log at its step */
  content(ledger: string): CheckpointContent;
  /** The memory of the state may be used again. */
  release(): void;
}

/** A worker group that trains under one epoch. */
export interface TrainingAttempt {
  readonly state: AttemptState;
  /** Decides the order in which numbers are added. Equal layouts compute equal bits. */
  readonly layout: string;
  /** Settles, and never rejects, when the worker group has failed. */
  readonly failed: Promise<LapidaryError>;
  /** @param keepReplicas whether the workers keep their replicas for the next attempt */
  close(keepReplicas: boolean): Promise<void>;
}

export interface TrainOptions<A extends TrainingAttempt> {
  readonly disk: Disk;
  /** Directory of the run. */
  readonly directory: string;
  readonly checkpoints: string;
  /** Takes over the files of the run: every earlier attempt is rejected from then on. */
  readonly claim: () => Fence;
  /** Starts a worker group with its programs loaded, under a new epoch. */
  readonly open: (epoch: number) => Promise<A>;
  readonly steps: number;
  /** As in `Recipe`. */
  readonly isSequential?: boolean | undefined;
  readonly tokensPerStep: number;
  readonly keep: number;
  /** Whether a checkpoint is due after a step that is not the last. */
  readonly saves: (step: number) => boolean;
  /** Other work after a step. What it reports is of an attempt: it checks the fence first. */
  readonly between: (attempt: A, step: number, fence: Fence) => (() => Promise<void>) | undefined;
  /** Whether the next attempt should have more workers; and, called after a checkpoint, whether it can. */
  readonly regroups?: { readonly wanted: () => boolean; readonly possible: () => Promise<boolean> };
  /** Work with the state after the last step, before the worker group is closed. */
  readonly finish: (attempt: A, fence: Fence) => Promise<void>;
  readonly clock: Clock;
  /** Ends everything immediately. */
  readonly signal: AbortSignal;
  /** Drains: ends training after the steps in flight, with a checkpoint. */
  readonly drain: AbortSignal;
  readonly failpoints: Failpoints;
  readonly goodput: Goodput;
  /** The policy for batches that harm the run. Undefined: a loss that is NaN or infinite ends the run. */
  readonly guard?: BadBatchPolicy | undefined;
  readonly events: TrainEvents;
}

export interface BadBatchPolicy {
  readonly not_finite: "stop" | "skip";
  /** A loss this many times the mean of the last steps is a spike. */
  readonly spike?: number | undefined;
  /** Maximum number of skipped batches in a run. */
  readonly max_skipped: number;
}

/** Receives the events of training. */
export interface TrainEvents {
  readonly emit: (event: RunEvent) => void;
  readonly row: (row: TrainRow, isNew: boolean) => void;
  /** The last step whose row any coordinator reported. A coordinator that is killed may have committed one more. */
  readonly reported: () => number;
  /** Makes everything reported so far survive a power cut, before a checkpoint contains these steps. */
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
