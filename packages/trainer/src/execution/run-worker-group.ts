import type { WorkerGroup } from "@lapidary/cluster";

/** What a run does with its worker group. */
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
