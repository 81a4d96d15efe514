import type { AblationRun } from "./ablation.js";

/** A run of an ablation. */
export interface SeededRun extends AblationRun {
  /** Number of the mixture; runs of both sizes with one number have the same shares. */
  readonly mixture: number;
  readonly seed: number;
}

/** The weighted held-out loss of a run. */
export const goalOf = ({ losses }: SeededRun, goal: Readonly<Record<string, number>>): number =>
  Object.entries(goal).reduce((sum, [source, weight]) => sum + weight * (losses[source] ?? Number.NaN), 0);
