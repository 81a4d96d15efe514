import type { WorkerGroup } from "@lapidary/cluster";

/** The methods of a worker group that a run uses. */
export type RunWorkerGroup = Pick<
  WorkerGroup,
  | "loadText"
  | "parameters"
  | "outputs"
  | "put"
  | "feed"
  | "bind"
  | "run"
  | "describe"
  | "fetch"
  | "drop"
  | "replicate"
  | "openStagingBuffer"
  | "stage"
  | "restoreReplicas"
>;
