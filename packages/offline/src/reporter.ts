import type { Warning } from "@lapidary/std";

/** Receives what a function reports while it computes. The command line prints it; tests collect it. */
export interface Reporter {
  /** A new phase, or a new state of the current phase. A function as `state` is called whenever a display draws. */
  readonly progress: (phase: string, state?: string | (() => string)) => void;
  /** A message that every user sees. */
  readonly say: (text: string) => void;
  /** A message for users who ask for details. */
  readonly detail: (text: string) => void;
  /** A warning with a code, or a sentence. */
  readonly warn: (warning: Warning | string) => void;
}
