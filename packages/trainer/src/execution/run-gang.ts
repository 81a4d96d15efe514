import type { Gang } from "@lapidary/cluster";

/** What a run does with its gang of workers. */
export type RunGang = Pick<
  Gang,
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
  | "copy"
  | "openImage"
  | "snapshot"
  | "restoreCopies"
>;
