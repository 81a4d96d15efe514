import { type AblationSummary, meanGoal, type SeededRun, summarizeAblation } from "@lapidary/mixture";
import { LapidaryError } from "@lapidary/std";
import type { PlannedAblation } from "./plan-ablation.js";

/** The result of an ablation. JSON. */
export interface AblationReport extends AblationSummary {
  readonly sources: readonly string[];
  readonly goal: PlannedAblation["goal"];
  /** Tokens of the run that the recommendation is for, and the largest share that each source can have in it. */
  readonly tokens: number;
  readonly repeat: number;
  readonly most: readonly number[];
  readonly mixtures: readonly {
    readonly shares: readonly number[];
    /** The mean over the seeds of the weighted held-out loss; null if no run of the size has the mixture. */
    readonly small: number | null;
    readonly large: number | null;
  }[];
  readonly runs: readonly SeededRun[];
}

/**
 * The report of an ablation whose runs have ended.
 *
 * @param losses the held-out losses by source of each run, by the name of its job
 * @throws LapidaryError LAP_ABLATION_RUNS if a run has no losses
 */
export function ablationReport(plan: PlannedAblation, losses: ReadonlyMap<string, Readonly<Record<string, number>>>): AblationReport {
  const { sources, goal, natural, most, tokens, repeat } = plan;
  const missing = plan.runs.find(({ name }) => !losses.has(name));
  if (missing !== undefined)
    throw new LapidaryError({
      code: "LAP_ABLATION_RUNS",
      message: `the run ${missing.name} has no held-out losses`,
      location: missing.name,
      remedy: "resume the run with `lapidary jobs resume`, then repeat the command with the same --name",
    });
  const runs = plan.runs.map(({ name, ...run }): SeededRun => ({ ...run, losses: losses.get(name) ?? {} }));
  const mean = (size: string, mixture: number): number | null => {
    const value = meanGoal(runs, size, mixture, goal);
    return Number.isNaN(value) ? null : value;
  };
  const mixtures = [...new Map(runs.map(({ mixture, shares }) => [mixture, shares]))];
  return {
    sources,
    goal,
    tokens,
    repeat,
    most,
    mixtures: mixtures.map(([mixture, shares]) => ({ shares, small: mean("small", mixture), large: mean("large", mixture) })),
    runs,
    ...summarizeAblation(runs, { small: "small", large: "large", goal, natural, most }),
  };
}
