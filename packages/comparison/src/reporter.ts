import type { Warning } from "@lapidary/std";

/** Receives what a comparison reports while it computes. */
export interface ComparisonReporter {
  /** A new phase, or a new state of the current phase. A function as `state` is called whenever a display draws. */
  readonly progress: (phase: string, state?: string | (() => string)) => void;
  readonly warn: (warning: Warning) => void;
  /** The number of answers, verdicts or scores of a phase that are complete. */
  readonly count?: (phase: string, done: number, total: number) => void;
}
