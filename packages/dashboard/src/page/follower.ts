import type { StreamEvent } from "@lapidary/api";
import type { ChipArrays, WorkerStep } from "@lapidary/api/frames";

/** Receives the events and frames of one run. */
export interface Follower {
  readonly events: (events: readonly StreamEvent[]) => void;
  readonly frames: (workers: number, steps: readonly WorkerStep[]) => void;
  readonly chips: (chips: ChipArrays) => void;
  /** Too many events were missed: load a new snapshot. */
  readonly reset: () => void;
  readonly connected: (is: boolean) => void;
}
