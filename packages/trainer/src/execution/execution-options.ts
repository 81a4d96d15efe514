import type { SlicePlace } from "@lapidary/api/api-values";
import type { WorkerGroup, WorkerGroupOptions } from "@lapidary/cluster";
import type { Clock, Failpoints } from "@lapidary/std";
import type { Run } from "@lapidary/telemetry";
import type { ResolvedJob } from "@lapidary/training";

/** What the execution of a job needs of its coordinator. */
export interface ExecutionOptions {
  readonly run: Run;
  readonly job: ResolvedJob;
  readonly slice: SlicePlace;
  /** Maximum number of worker processes. */
  readonly workers: number;
  /** The root of the project, which has the default corpus. */
  readonly root: string;
  /** The cache of datasets and programs. */
  readonly cacheDir: string;
  readonly startGroup: (options: Omit<WorkerGroupOptions, "runId">) => Promise<WorkerGroup>;
  /** Whether `count` more workers can be started. */
  readonly hasWorkers: (count: number) => Promise<boolean>;
  readonly clock: Clock;
  /** Ends the run immediately at any stage. */
  readonly signal: AbortSignal;
  /** Ends training after the steps in flight, with a checkpoint. */
  readonly drain: AbortSignal;
  readonly failpoints: Failpoints;
}
